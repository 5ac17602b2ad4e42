"""Bytes in; files that are whole or absent, locked while they are written, out."""
