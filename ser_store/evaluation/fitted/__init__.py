"""Weights fitted to what members say: members in; what weights that have not seen the utterances make of them, out."""
