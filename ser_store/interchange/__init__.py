"""Members as tables and arrays, to and from other programs."""
