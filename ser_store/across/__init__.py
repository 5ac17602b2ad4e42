"""Several corpora: a model or head of one applied to another, tables of both, and one store made of several."""
