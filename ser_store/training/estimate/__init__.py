"""A recipe and a corpus in; steps, memory, disk and time out, before anything is spent."""
