"""A function of the user's own as a metric."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, cast

import torch
from torch import Tensor

from bcos_eval.contract.metric import Batch, Direction, Metric, MetricInfo, Scored
from bcos_eval.contract.params import Param
from bcos_eval.contract.statuses import Status, is_nonfinite, is_zero, map_statuses
from bcos_eval.errors import InputError

# What a metric is of when it comes without presets.
USER_PRESET = "own"
# What a function may ask for, by the names of its arguments.
_ARGUMENTS = ("maps", "images", "targets", "regions", "predict", "seed")
# How grids are drawn for a function that scores grids, as for `grid_pg`.
_GRID_DEFAULTS: Mapping[str, Param] = {"rule": "bcos_v2", "n": 3}
_ALLOWED = {"stimulus": ("single", "grid"), "direction": ("higher", "lower")}


@dataclass(frozen=True, slots=True)
class _UserScore:
    """A user's function as a scoring function of the suite.

    Attributes:
        name: How tables call the metric.
        function: Takes some of maps, images, targets, regions, predict and seed, by name, and its own parameters.
        arguments: Which.
        chance: Score of a map that knows nothing, None where unknown.
    """

    name: str
    function: Callable[..., Any]
    arguments: tuple[str, ...]
    chance: float | None

    def __call__(self, batch: Batch, **params: Param) -> Scored:
        """Score a batch; a score that is not finite, or of a map that is not, has the status `nonfinite`.

        Raises:
            InputError: If the function gives anything but scores `(B, K)`.
        """
        given = {
            "maps": batch.maps.to(torch.float32, copy=True),
            # Copies: it may work in place, and other metrics are given the same.
            "images": batch.images.clone(),
            "targets": batch.targets.clone(),
            "regions": batch.regions.clone(),
            "predict": batch.given_model,
            "seed": batch.seed,
            **params,
        }
        scores = self.function(**{key: value for key, value in given.items() if key in self.arguments})
        if isinstance(scores, Scored):
            return scores
        if not isinstance(scores, Tensor) or scores.shape != batch.targets.shape:
            found = tuple(scores.shape) if isinstance(scores, Tensor) else type(scores).__name__
            raise InputError(
                f"metric '{self.name}' gave {found}; give a tensor (B, K), {tuple(batch.targets.shape)}."
            )
        values = scores.detach().double().cpu()
        nonfinite = is_nonfinite(batch.maps) | ~values.isfinite().to(batch.maps.device)
        statuses = map_statuses(batch.maps, {Status.ZERO_MAP: is_zero(batch.maps), Status.NONFINITE: nonfinite})
        chance = torch.full_like(values, torch.nan if self.chance is None else self.chance)
        return Scored(values, statuses, chance)


def metric_of(name: str, function: object, *, source: str) -> Metric:
    """Return a function as a metric called `name`, with the preset `own`.

    Its arguments are some of `maps, images, targets, regions, predict, seed`; further ones with a number or a text
    as default become its parameters. It gives scores `(B, K)`. The attributes `direction` ("higher", "lower"),
    `stimulus` ("single", "grid") and `chance` of the function say otherwise than higher, single and unknown.

    Raises:
        InputError: If it cannot be called so.
    """
    if isinstance(function, Metric):
        return function
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
    chance = getattr(function, "chance", None)
    info = MetricInfo(
        name=name,
        preset=USER_PRESET,
        stimulus=stimulus,
        direction=cast("Direction", _stated(name, function, "direction")),
        low=-float("inf"),
        high=float("inf"),
        chance=chance,
        source=source,
        defaults={**(_GRID_DEFAULTS if stimulus == "grid" else {}), **params},
        needs=("model",) if "predict" in signature else (),
    )
    return Metric(info, _UserScore(name, function, tuple(signature), chance))


def _stated(name: str, function: object, attribute: str) -> str:
    allowed = _ALLOWED[attribute]
    value = getattr(function, attribute, allowed[0])
    if value not in allowed:
        raise InputError(f"metric '{name}' has {attribute} '{value}'; allowed: {', '.join(allowed)}.")
    return str(value)
