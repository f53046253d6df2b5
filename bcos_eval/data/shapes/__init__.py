"""The embedded dataset: generated scenes with one object and its exact mask."""
