"""Results of an evaluation in; the lines and tables that a person reads out."""
