"""HDF5 store of what speech models said: format, integrity, interchange. No machine learning, no torch."""

__version__ = "0.1.0"
