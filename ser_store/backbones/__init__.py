"""Backbones: what turns a waveform into a representation. The catalogue needs no torch."""

from ser_store.backbones.inductor_cache import place_cache

place_cache()
