"""Metrics of how concentrated attributions are."""
