"""Several processes: those that train one run together, and those that must not train it at once."""
