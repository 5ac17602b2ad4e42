"""Pooled representations in, the scores of a lightweight classifier out: a member again."""
