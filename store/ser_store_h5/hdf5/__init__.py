"""Bytes of an HDF5 file that nobody vouches for in, arrays and attributes out: a small strict reader."""
