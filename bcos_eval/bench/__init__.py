"""How fast the suite is against the alternatives, on one machine in one run."""

from .report import BenchReport, ExplainerRow, PerturbationRow
from .run import BenchRequest, run_bench

__all__ = ["BenchReport", "BenchRequest", "ExplainerRow", "PerturbationRow", "run_bench"]
