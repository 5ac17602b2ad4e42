"""Fitted combinations: the scores of members and the labels in; weights, and what they say of other utterances, out."""
