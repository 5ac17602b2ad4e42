"""Measurements of serstore beside what others would use for the same; equality is checked before time is told."""
