"""Progress bars, threads, provenance and the log: what every room uses and no room owns."""
