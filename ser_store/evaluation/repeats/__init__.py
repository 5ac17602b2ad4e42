"""Runs that belong together: the folds of one split, the seeds of one training or head; pooled, gathered, compared."""
