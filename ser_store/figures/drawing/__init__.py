"""Figures from arrays: one module for each family; sizes, type and colours of all of them in ``style``."""
