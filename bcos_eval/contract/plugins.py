"""The one place that loads `bcos_eval.metrics` and `bcos_eval.baselines`.

What the core expects of them is typed in `plugin_types` and offered here too. Both folders lie beside `bcos_eval`
in a checkout and become its subpackages when installed, which type checkers cannot follow; so they are loaded by
name here, and nowhere else.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from types import ModuleType
from typing import Literal, cast

from torch import Tensor

from bcos_eval.errors import InputError, unknown_name

from .types import (
    Counterfactuals,
    Explainer,
    ExplainerInfo,
    Metric,
    MetricInfo,
    Network,
    Param,
    Predict,
    Scored,
    StimulusKind,
    View,
)

__all__ = [
    "Counterfactuals",
    "Explainer",
    "ExplainerInfo",
    "Metric",
    "MetricInfo",
    "Network",
    "Param",
    "Predict",
    "Scored",
    "StimulusKind",
    "View",
    "common_explainer_params",
    "default_presets",
    "explainers",
    "find_explainer",
    "find_metric",
    "make_explainer",
    "map_statuses",
    "metrics",
    "offer_explainer",
    "offer_metric",
    "offers_of_the_block",
    "own_code",
]


@dataclass(frozen=True, slots=True)
class _Offered:
    """A user's own explainer or metric, with the identity of its code."""

    plugin: Explainer | Metric
    code: str


_OFFERED: dict[tuple[Literal["method", "metric"], str], _Offered] = {}


@contextmanager
def offers_of_the_block() -> Iterator[None]:
    """Forget, at the end, the explainers and metrics that the block offered."""
    before = dict(_OFFERED)
    try:
        yield
    finally:
        _OFFERED.clear()
        _OFFERED.update(before)


def offer_explainer(explainer: Explainer, code: str) -> None:
    """Let `find_explainer` find a user's own explainer; `code` says which version of it this is."""
    _OFFERED["method", explainer.info.name] = _Offered(explainer, code)


def offer_metric(metric: Metric, code: str) -> None:
    """Let `find_metric` find a user's own metric; `code` says which version of it this is."""
    _OFFERED["metric", f"{metric.info.name}/{metric.info.preset}"] = _Offered(metric, code)


def own_code(kind: Literal["method", "metric"], name: str) -> dict[str, str]:
    """Return the identity of the code of a user's own explainer or metric; nothing for the suite's."""
    offered = _OFFERED.get((kind, name))
    return {} if offered is None else {"code": offered.code}


def make_explainer(
    name: str, function: Callable[..., Tensor], *, source: str, defaults: Mapping[str, Param], stochastic: bool
) -> Explainer:
    """Return a function with the contract of explainers as one, without registering it."""
    home = _load("bcos_eval.baselines")
    info = home.ExplainerInfo(name=name, source=source, defaults=defaults, choices={}, stochastic=stochastic)
    return cast("Explainer", home.Explainer(info, function))


def map_statuses(maps: Tensor, *, nonfinite: Tensor) -> tuple[tuple[str, ...], ...]:
    """Return a status for each map `(B, K, H, W)`; `nonfinite` is True where its score is not finite."""
    statuses, status = _load("bcos_eval.metrics.map_status"), _load("bcos_eval.metrics").Status
    conditions = {
        status.ZERO_MAP: statuses.is_zero(maps),
        status.NONFINITE: statuses.is_nonfinite(maps) | nonfinite.to(maps.device),
    }
    return cast("tuple[tuple[str, ...], ...]", statuses.map_statuses(maps, conditions))


def metrics() -> Mapping[str, Metric]:
    """Return all metrics by `name/preset`."""
    return cast("Mapping[str, Metric]", _load("bcos_eval.metrics").METRICS)


def default_presets() -> Mapping[str, str]:
    """Return the preset that a plain metric name stands for, by name."""
    return cast("Mapping[str, str]", _load("bcos_eval.metrics").DEFAULT_PRESETS)


def explainers() -> Mapping[str, Explainer]:
    """Return all explainers by name."""
    return cast("Mapping[str, Explainer]", _load("bcos_eval.baselines").EXPLAINERS)


def common_explainer_params() -> Mapping[str, Param]:
    """Return the parameters that every explainer has besides its own, with their defaults."""
    return cast("Mapping[str, Param]", _load("bcos_eval.baselines").COMMON_PARAMS)


def find_metric(name: str) -> Metric:
    """Return the metric called `name` or `name/preset`.

    Raises:
        InputError: If there is none; with near matches.
    """
    if (offered := _OFFERED.get(("metric", name))) is not None:
        return cast("Metric", offered.plugin)
    known = metrics()
    presets = default_presets()
    full_name = f"{name}/{presets[name]}" if name in presets else name
    if full_name not in known:
        raise unknown_name("metric", name, [*presets, *known])
    return known[full_name]


def find_explainer(name: str) -> Explainer:
    """Return the explainer called `name`.

    Raises:
        InputError: If there is none; with near matches.
    """
    if (offered := _OFFERED.get(("method", name))) is not None:
        return cast("Explainer", offered.plugin)
    known = explainers()
    if name not in known:
        raise unknown_name("method", name, known)
    return known[name]


def _load(module: str) -> ModuleType:
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        if error.name != module:
            raise
        raise InputError(
            f"{module} is not installed; it lies beside bcos_eval in the checkout: "
            "install with `pip install -e .`."
        ) from error
