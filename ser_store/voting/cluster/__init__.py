"""The exhaustive search over many processes or machines, by joblib and the schedulers that it knows."""
