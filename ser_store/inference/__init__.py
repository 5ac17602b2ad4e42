"""Utterances in, logits and pooled representations out: the dataset, what changes a waveform, and the forward pass."""

import ser_store.backbones  # noqa: F401 - before transformers, see there
