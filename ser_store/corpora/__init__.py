"""Corpora: where labelled utterances come from, how they are split, and what is wrong with a split."""
