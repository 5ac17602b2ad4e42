"""One page of HTML about a store: questions in, one file that needs no network out; `page/` is what it looks like."""
