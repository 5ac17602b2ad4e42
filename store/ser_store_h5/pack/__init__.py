"""A store as one file, and two stores made one."""
