"""What a training is asked for: a recipe in, the same recipe checked out. Loads no torch."""
