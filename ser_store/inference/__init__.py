"""Utterances in, logits and pooled representations out: the dataset, what changes a waveform, and the forward pass."""
