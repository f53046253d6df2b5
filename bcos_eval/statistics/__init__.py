"""Intervals, tests and confidence sequences for scores that come in clusters; NumPy and SciPy only."""
