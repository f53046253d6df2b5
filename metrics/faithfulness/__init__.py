"""Metrics of whether the model uses what the attribution shows."""
