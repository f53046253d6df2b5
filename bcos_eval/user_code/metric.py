"""A function of the user's own as a metric."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, cast

import torch
from torch import Tensor

from bcos_eval.contract.plugins import (
    Counterfactuals,
    Metric,
    Param,
    Predict,
    Scored,
    StimulusKind,
    View,
    map_statuses,
)
from bcos_eval.errors import InputError

# What a metric is of when it comes without presets.
OWN_PRESET = "own"
# What a function may ask for, by the names of its arguments.
_ARGUMENTS = ("maps", "images", "targets", "regions", "predict", "seed")
# How grids are drawn for a function that scores grids, as for `grid_pg`.
_GRID_DEFAULTS: Mapping[str, Param] = {"pool": "bcos_v2", "n": 3}
_ALLOWED = {"stimulus": ("single", "grid"), "direction": ("higher", "lower")}


@dataclass(frozen=True, slots=True)
class OwnMetricInfo:
    """What is known of a function before it is called; see `bcos_eval.contract.plugins.MetricInfo`."""

    name: str
    preset: str
    stimulus: StimulusKind
    needs_predict: bool
    direction: Literal["higher", "lower"]
    chance: float | None
    source: str
    defaults: Mapping[str, Param]
    needs_explain: bool = False
    needs_counterfactuals: bool = False
    view: View = "plain"
    note: str = ""
    low: float = -float("inf")
    high: float = float("inf")


@dataclass(frozen=True, slots=True)
class OwnScored:
    """The scores of a batch; see `bcos_eval.contract.plugins.Scored`."""

    values: Tensor
    status: tuple[tuple[str, ...], ...]
    chance: Tensor
    curves: Tensor | None = None


@dataclass(frozen=True, slots=True)
class OwnMetric:
    """A function with the contract of metrics.

    Attributes:
        info: Name, direction, needs.
        function: Takes some of maps, images, targets, regions, predict and seed, by name.
        arguments: Which.
    """

    info: OwnMetricInfo
    function: Callable[..., Any]
    arguments: tuple[str, ...]

    def score(
        self,
        maps: Tensor,
        images: Tensor,
        targets: Tensor,
        regions: Tensor,
        predict: Predict | None = None,
        *,
        seed: int = 0,
        counterfactuals: Sequence[Counterfactuals] = (),
        **params: Param,
    ) -> Scored:
        """Score B stimuli with K targets each.

        A score that is not finite, or of a map that is not, has the status `nonfinite`.

        Raises:
            InputError: If the function gives anything but scores `(B, K)`.
        """
        given = {"maps": maps, "images": images, "targets": targets, "regions": regions, "predict": predict}
        wanted = {**given, "seed": seed, **params}
        scores = self.function(**{key: value for key, value in wanted.items() if key in self.arguments})
        if all(hasattr(scores, part) for part in ("values", "status", "chance")) and not isinstance(
            scores, Tensor
        ):
            return cast("Scored", scores)
        if not isinstance(scores, Tensor) or scores.shape != targets.shape:
            found = tuple(scores.shape) if isinstance(scores, Tensor) else type(scores).__name__
            raise InputError(
                f"metric '{self.info.name}' gave {found}; give a tensor (B, K), {tuple(targets.shape)}."
            )
        values = scores.detach().double().cpu()
        chance = torch.full_like(values, torch.nan if self.info.chance is None else self.info.chance)
        return OwnScored(values, map_statuses(maps, nonfinite=~scores.isfinite()), chance)


def metric_of(name: str, function: object, *, source: str) -> Metric:
    """Return a function as a metric called `name`, with the preset `own`.

    Its arguments are some of `maps, images, targets, regions, predict, seed`; further ones with a number or a text
    as default become its parameters. It gives scores `(B, K)`. The attributes `direction` ("higher", "lower"),
    `stimulus` ("single", "grid") and `chance` of the function say otherwise than higher, single and unknown.

    Raises:
        InputError: If it cannot be called so.
    """
    if hasattr(function, "info") and callable(getattr(function, "score", None)):
        return cast("Metric", function)
    if not callable(function) or inspect.isclass(function):
        raise InputError(
            f"metric '{name}' is of type {type(function).__name__}; give a function of {', '.join(_ARGUMENTS)}."
        )
    signature = inspect.signature(function).parameters
    params = {key: argument.default for key, argument in signature.items() if key not in _ARGUMENTS}
    unknown = [key for key, default in params.items() if not isinstance(default, Param)]
    if unknown or "maps" not in signature:
        raise InputError(
            f"metric '{name}' must take maps, and if it needs them {', '.join(_ARGUMENTS[1:])}"
            f"{f'; give {unknown[0]} a number or a text as default' if unknown else ''}."
        )
    stimulus = _stated(name, function, "stimulus")
    info = OwnMetricInfo(
        name=name,
        preset=OWN_PRESET,
        stimulus=cast("StimulusKind", stimulus),
        needs_predict="predict" in signature,
        direction=cast('Literal["higher", "lower"]', _stated(name, function, "direction")),
        chance=getattr(function, "chance", None),
        source=source,
        defaults={**(_GRID_DEFAULTS if stimulus == "grid" else {}), **params},
    )
    return OwnMetric(info, function, tuple(signature))


def _stated(name: str, function: object, attribute: str) -> str:
    allowed = _ALLOWED[attribute]
    value = getattr(function, attribute, allowed[0])
    if value not in allowed:
        raise InputError(f"metric '{name}' has {attribute} '{value}'; allowed: {', '.join(allowed)}.")
    return str(value)
