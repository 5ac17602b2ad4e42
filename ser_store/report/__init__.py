"""One page of HTML about a store: questions in, a file that needs no network out; its looks and scripts are in `page/`."""
