"""Any recordings in, what a member or an ensemble says of them out, as the store says it of its own corpus."""
