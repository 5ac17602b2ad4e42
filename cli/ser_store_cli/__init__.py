"""The `serstore` command, thin over the library."""

INTERRUPTED = 130  # the exit code after Ctrl-C, as shells have it
