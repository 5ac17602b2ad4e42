"""A corpus in; out, which utterances are trained on and which evaluated: drawn, audited, and as a run recorded them."""
