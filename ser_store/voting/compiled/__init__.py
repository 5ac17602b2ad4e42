"""Predictions as words of bits in, the best ensembles out: the searches in machine code."""
