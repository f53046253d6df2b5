"""The one place that loads the folders whose modules register explainers and metrics.

`metrics/` and `baselines/` lie beside `bcos_eval` in a checkout and become its subpackages when installed, which
type checkers cannot follow; so they are loaded by name here, and nowhere else.
"""

from __future__ import annotations

import functools
import importlib
import pkgutil
from collections.abc import Iterable

from bcos_eval.errors import InputError

from .explainer import EXPLAINERS, Explainer, get_explainer
from .metric import DEFAULT_PRESETS, METRICS, Metric, get_metric

# The explainers that belong to B-cos networks lie with the method.
_FOLDERS = ("bcos_eval.bcos", "bcos_eval.baselines", "bcos_eval.metrics")


def explainers() -> dict[str, Explainer]:
    """Return all explainers by name."""
    _load_all()
    return EXPLAINERS


def metrics() -> dict[str, Metric]:
    """Return all metrics by `name/preset`."""
    _load_all()
    return METRICS


def default_presets() -> dict[str, str]:
    """Return the preset that a plain metric name stands for, by name."""
    _load_all()
    return DEFAULT_PRESETS


def find_explainer(name: str) -> Explainer:
    """Return the explainer called so, or spelt so by many.

    Raises:
        InputError: If there is none; with near matches.
    """
    _load_all()
    return get_explainer(name)


def find_metric(name: str) -> Metric:
    """Return the metric called `name` or `name/preset`.

    Raises:
        InputError: If there is none; with near matches.
    """
    _load_all()
    return get_metric(name)


def import_modules(package: str, path: Iterable[str]) -> None:
    """Import every module of a package, so that they register what they define: a new one is one file."""
    for found in sorted(pkgutil.walk_packages(path, f"{package}."), key=lambda module: module.name):
        importlib.import_module(found.name)


@functools.cache
def _load_all() -> None:
    for folder in _FOLDERS:
        try:
            importlib.import_module(folder)
        except ModuleNotFoundError as error:
            if error.name != folder:
                raise
            raise InputError(
                f"{folder} is not installed; it lies beside bcos_eval in the checkout: "
                "install with `pip install -e .`."
            ) from error
