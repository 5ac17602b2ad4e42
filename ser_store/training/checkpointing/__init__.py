"""Checkpoints in and out: which are whole, what a run is resumed from, and what it was begun with."""
