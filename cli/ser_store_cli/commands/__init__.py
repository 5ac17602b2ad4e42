"""One file for each command: words in, one call of the library, a table or a document out."""
