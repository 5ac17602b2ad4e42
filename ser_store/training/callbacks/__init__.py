"""What the Trainer reports in; curves, early stopping, divergence and the run's record out."""
