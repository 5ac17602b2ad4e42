"""The `serstore` command, thin over the library."""
