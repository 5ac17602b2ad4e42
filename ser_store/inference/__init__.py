"""Utterances in, logits and pooled representations out: the dataset, what changes a waveform, and the forward pass."""

from ser_store.backbones.inductor_cache import place_cache

place_cache()
