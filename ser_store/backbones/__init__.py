"""Backbones: what turns a waveform into a representation. The catalogue needs no torch."""
