"""How far a figure can be trusted: intervals, tests, and what remains of a figure that was chosen. Pure numpy."""
