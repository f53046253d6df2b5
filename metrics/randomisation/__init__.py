"""Metrics of how attributions change with the weights."""
