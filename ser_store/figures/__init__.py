"""Figures for papers: questions to a store in, matplotlib figures out; `drawing` takes arrays and knows no store."""
