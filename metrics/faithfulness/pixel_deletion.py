"""Pixel deletion: how fast a prediction falls while the most important pixels are removed."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Literal

import torch
from torch import Tensor

from bcos_eval.contract.explained_model import memory_of
from bcos_eval.contract.metric import Batch, MetricInfo, Scored, register_metric
from bcos_eval.contract.params import Count

from ..ranking import least_first, most_first
from .fills import PIXEL_FILLS
from .perturbation import (
    Perturbation,
    encoded_probability,
    equal_counts,
    normalised_area,
    perturbation_curves,
    pixel_probability,
    scored_curves,
    stepped_counts,
)

# protocols.md 5.3: the suite's curve.
N_STEPS = 50
# RISE@d91ea00 evaluation.py: a row of a 224×224 image per step.
RISE_STEP = 224
DEFAULT_BATCH_SIZE = 64
DEFAULT_FILL = "black"

_SUITE_SOURCE = "Petsiuk et al. 2018, in pixel space, 50 steps over all pixels"


def deletion_curves(
    batch: Batch, order_of: Callable[[Tensor], Tensor], *, fill: str, batch_size: int
) -> tuple[Tensor, tuple[int, ...]]:
    """Return the target's probability while pixels are replaced in the image, and the points of the curve.

    Args:
        batch: Maps, images, targets and the model.
        order_of: Maps maps `(B, K, H, W)` to pixel indices `(B, K, H·W)`, first removed first.
        fill: What replaces the pixels, a key of `PIXEL_FILLS`.
        batch_size: Pictures per forward pass.

    Returns:
        Curves `(B, K, 51)`, float64, and the number of pixels removed at each point.
    """
    counts = equal_counts(batch.maps.shape[-2] * batch.maps.shape[-1], N_STEPS)
    example = Perturbation(batch.images, PIXEL_FILLS[fill](batch.images), order_of(batch.maps), counts)
    probability = pixel_probability(batch.model)
    return perturbation_curves(
        example,
        batch.targets,
        probability=probability,
        batch_size=batch_size,
        remember=memory_of(batch.model, "pixels"),
    ), counts


def _info(preset: str, direction: Literal["higher", "lower"], low: float, source: str) -> MetricInfo:
    return MetricInfo(
        name="pixel_deletion",
        preset=preset,
        stimulus="single",
        needs=("model",),
        direction=direction,
        low=low,
        high=1.0,
        chance=None,
        source=source,
        defaults={"batch_size": DEFAULT_BATCH_SIZE},
    )


def _score_most_first(batch: Batch, *, fill: str, batch_size: Count) -> Scored:
    """Score the area below the most-first curve; lower is better.

    A zero map and a map with NaN or infinity score NaN; pixels of a constant map go in row-major order.
    """
    curves, counts = deletion_curves(batch, most_first, fill=fill, batch_size=batch_size)
    return scored_curves(batch, curves, normalised_area(curves, counts))


def _score_gap(batch: Batch, *, fill: str, batch_size: Count) -> Scored:
    """Score the area of the least-first minus that of the most-first curve; the latter's curves are returned.

    The level of the probabilities cancels, so networks with sigmoid and with softmax compare more fairly.
    Undefined where the most-first area is.
    """
    most, counts = deletion_curves(batch, most_first, fill=fill, batch_size=batch_size)
    least, _ = deletion_curves(batch, least_first, fill=fill, batch_size=batch_size)
    return scored_curves(batch, most, normalised_area(least, counts) - normalised_area(most, counts))


for _fill in PIXEL_FILLS:
    _is_default = _fill == DEFAULT_FILL
    _area = _info("default" if _is_default else _fill, "lower", 0.0, f"{_SUITE_SOURCE}, fill {_fill}")
    _gap = _info("gap" if _is_default else f"gap_{_fill}", "higher", -1.0, f"{_SUITE_SOURCE}, fill {_fill}")
    register_metric(_area, recommended=_is_default)(partial(_score_most_first, fill=_fill))
    register_metric(_gap)(partial(_score_gap, fill=_fill))


@register_metric(_info("rise", "lower", 0.0, "Petsiuk et al. 2018, RISE; RISE@d91ea00 evaluation.py"))
def _score_rise(batch: Batch, *, batch_size: Count) -> Scored:
    """Score as RISE does: encoded zero as fill, 224 pixels a step, points taken as equally spaced.

    RISE follows the predicted class: hand in predictions as targets to reproduce it.
    """
    encoded = batch.model.encode(batch.images)
    counts = stepped_counts(batch.maps.shape[-2] * batch.maps.shape[-1], RISE_STEP)
    example = Perturbation(encoded, torch.zeros_like(encoded), most_first(batch.maps), counts)
    curves = perturbation_curves(
        example,
        batch.targets,
        probability=encoded_probability(batch.model),
        batch_size=batch_size,
        remember=memory_of(batch.model, "encoded"),
    )
    return scored_curves(batch, curves, normalised_area(curves))
