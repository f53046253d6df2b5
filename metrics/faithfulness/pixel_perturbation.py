"""Pixel perturbation: how long a prediction lasts while the least important pixels are removed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import torch
from torch import Tensor

from bcos_eval.contract.explained_model import memory_of
from bcos_eval.contract.metric import Batch, MetricInfo, Scored, register_metric
from bcos_eval.contract.params import Count

from ..ranking import least_first, most_first
from .perturbation import (
    Perturbation,
    encoded_probability,
    normalised_area,
    perturbation_curves,
    scored_curves,
)

# CoDA-Nets@32c829f pixel_configs.py: a quarter of the pixels, one point every 1/128 of them.
CODA_FRACTION = 0.25
CODA_N_STEPS = 128
DEFAULT_BATCH_SIZE = 64

_SOURCE = "Böhle et al. 2021, CoDA-Nets; CoDA-Nets@32c829f interpretability/analyses/pixel_removal.py"


def coda_counts(n_pixels: int) -> tuple[int, ...]:
    """Return how many pixels are removed at each point of the curve, from 0 up to a quarter of them.

    The distance of the points is a whole number of pixels, so 129 points result where 512 divides the number
    of pixels, and a few more elsewhere. The reference does not work below 512 pixels; here each pixel is then
    a step.

    Raises:
        ValueError: If there are fewer than 4 pixels, of which a quarter is none.
    """
    n_removed = int(CODA_FRACTION * n_pixels)
    if n_removed < 1:
        raise ValueError(f"an image of {n_pixels} pixels has no quarter to remove; give at least 4 pixels.")
    return tuple(range(0, n_removed + 1, max(1, n_removed // CODA_N_STEPS)))


def _info(preset: str, direction: Literal["higher", "lower"]) -> MetricInfo:
    return MetricInfo(
        name="pixel_perturbation",
        preset=preset,
        stimulus="single",
        needs=("model",),
        direction=direction,
        low=0.0,
        high=1.0,
        chance=None,
        source=_SOURCE,
        defaults={"batch_size": DEFAULT_BATCH_SIZE},
        headline=True,
    )


@register_metric(_info("coda", "higher"), recommended=True)
def _score_least_first(batch: Batch, *, batch_size: Count) -> Scored:
    """Score how well the target's probability survives the removal of the least important pixels.

    Removed pixels are 0 in every channel of the *encoded* image, which is no colour for a B-cos network. The
    papers plot the mean curve over images and have no scalar; the score here is the area below the unit's curve
    divided by its width. A zero map and a map with NaN or infinity score NaN, along the curve too; pixels of a
    constant map go in row-major order.
    """
    return _scored(batch, least_first, batch_size)


@register_metric(_info("coda_most", "lower"))
def _score_most_first(batch: Batch, *, batch_size: Count) -> Scored:
    """Score as `coda` does, while the most important pixels are removed; lower is better."""
    return _scored(batch, most_first, batch_size)


def _scored(batch: Batch, order_of: Callable[[Tensor], Tensor], batch_size: int) -> Scored:
    encoded = batch.model.encode(batch.images)
    n_pixels = batch.maps.shape[-2] * batch.maps.shape[-1]
    perturbation = Perturbation(encoded, torch.zeros_like(encoded), order_of(batch.maps), coda_counts(n_pixels))
    curves = perturbation_curves(
        perturbation,
        batch.targets,
        probability=encoded_probability(batch.model),
        batch_size=batch_size,
        remember=memory_of(batch.model, "encoded"),
    )
    return scored_curves(batch, curves, normalised_area(curves))
