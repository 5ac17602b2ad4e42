"""A corpus in, who is learned from and who is judged out: drawn, audited, and what a run has learned from."""
