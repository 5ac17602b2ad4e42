"""Members of a store in; files of other programs out."""
