"""From a file's bytes to how much audio its headers state and how much is there, which libsndfile keeps to itself."""
