"""Published corpora, each a page of data in `corpora/pages/`: from its files to the labelled utterances they hold."""
