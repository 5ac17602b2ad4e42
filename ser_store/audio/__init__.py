"""Recordings in, waveforms out: decoded, mixed down, resampled, compared with what the corpus was made from."""
