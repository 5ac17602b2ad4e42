"""Results of the library in, tables for people out."""
