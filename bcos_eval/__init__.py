"""Evaluate explanations: B-cos networks and post-hoc attribution under one protocol."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

from bcos_eval.version import __version__

if TYPE_CHECKING:
    from bcos_eval.attribution import explain
    from bcos_eval.evaluation import Evaluation, evaluate
    from bcos_eval.models import bcosify, load_model
    from bcos_eval.reports.results import Results, load_results

__all__ = [
    "Evaluation",
    "Results",
    "__version__",
    "bcosify",
    "evaluate",
    "explain",
    "load_model",
    "load_results",
]

# Importing torch takes seconds, which `bcos-eval --help` should not wait for.
_HOMES = {
    "Evaluation": "evaluation",
    "Results": "reports.results",
    "bcosify": "models",
    "evaluate": "evaluation",
    "explain": "attribution",
    "load_model": "models",
    "load_results": "reports.results",
}


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module 'bcos_eval' has no attribute '{name}'")
    return getattr(importlib.import_module(f".{_HOMES[name]}", __name__), name)


def __dir__() -> list[str]:
    return sorted(__all__)
