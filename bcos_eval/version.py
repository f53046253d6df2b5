"""The version of the suite, stored with every result."""

__version__ = "0.1.0"
