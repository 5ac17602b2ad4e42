"""Backbones: what turns a waveform into a representation. The catalogue needs no torch."""

from ser_store.nameless_user import place_cache

place_cache()
