"""Which members a question means: names, runs and steps, patterns to leave out, ensembles saved or written out."""
