"""A corpus in, representations of all of it out, from a checkpoint, a frozen backbone or an acoustic feature set."""
