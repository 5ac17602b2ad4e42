"""The published tables, the same tables from a store, and the way from audio to them."""
