"""The version of the suite, stored with every result, and the version of its numbers."""

__version__ = "0.1.0"

# Part of the key of everything that is stored. Raised when a score changes for whatever reason (a metric, an
# explainer, a network, a stimulus), so that scores of before are not found again; a release alone forgets nothing.
NUMERICAL_VERSION = 4
# Of the code under metrics/ at this version, without its words: a test fails when they no longer belong together.
METRICS_DIGEST = "9b618db91a0e68ea"
