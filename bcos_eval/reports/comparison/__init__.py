"""Comparisons of methods and agreement of metrics."""
