"""Commands run one after the other, each printed before it runs: the demonstration and the reproduction."""
