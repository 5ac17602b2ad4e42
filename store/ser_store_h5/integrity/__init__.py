"""A store in, every byte that is not as it was written out; and what killed writers left."""
