"""The path of a store in; its corpus, runs and members, from a folder or a packed file, out."""
