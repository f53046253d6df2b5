"""Metrics of where the attribution lies."""
