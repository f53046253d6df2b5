"""Pixel insertion: how fast a prediction rises while the most important pixels appear."""

from __future__ import annotations

from functools import partial

from torch import Tensor

from bcos_eval.contract.explained_model import memory_of
from bcos_eval.contract.metric import Batch, MetricInfo, Scored, register_metric
from bcos_eval.contract.params import Count

from ..ranking import most_first
from .fills import PIXEL_FILLS, rise_blurred
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
from .pixel_deletion import DEFAULT_BATCH_SIZE, DEFAULT_FILL, N_STEPS, RISE_STEP

_SUITE_SOURCE = "Petsiuk et al. 2018, in pixel space, 50 steps over all pixels"


def _info(preset: str, source: str) -> MetricInfo:
    return MetricInfo(
        name="pixel_insertion",
        preset=preset,
        stimulus="single",
        needs=("model",),
        direction="higher",
        low=0.0,
        high=1.0,
        chance=None,
        source=source,
        defaults={"batch_size": DEFAULT_BATCH_SIZE},
    )


def insertion_curves(batch: Batch, *, fill: str, batch_size: int) -> tuple[Tensor, tuple[int, ...]]:
    """Return the target's probability while pixels of the image come, most important first, and the points.

    Args:
        batch: Maps, images, targets and the model.
        fill: What is there before them, a key of `PIXEL_FILLS`.
        batch_size: Pictures per forward pass.

    Returns:
        Curves `(B, K, 51)`, float64, and the number of pixels that are there at each point.
    """
    counts = equal_counts(batch.maps.shape[-2] * batch.maps.shape[-1], N_STEPS)
    example = Perturbation(PIXEL_FILLS[fill](batch.images), batch.images, most_first(batch.maps), counts)
    probability = pixel_probability(batch.model)
    return perturbation_curves(
        example,
        batch.targets,
        probability=probability,
        batch_size=batch_size,
        remember=memory_of(batch.model, "pixels"),
    ), counts


def _score_insertion(batch: Batch, *, fill: str, batch_size: Count) -> Scored:
    """Score the area below the curve from the fill to the image, most important pixels first; higher is better.

    Without ties it equals the area below the least-first deletion curve. A zero map and a map with NaN or infinity
    score NaN; pixels of a constant map go in row-major order.
    """
    curves, counts = insertion_curves(batch, fill=fill, batch_size=batch_size)
    return scored_curves(batch, curves, normalised_area(curves, counts))


for _fill in PIXEL_FILLS:
    _is_default = _fill == DEFAULT_FILL
    _suite_info = _info("default" if _is_default else _fill, f"{_SUITE_SOURCE}, fill {_fill}")
    register_metric(_suite_info, recommended=_is_default)(partial(_score_insertion, fill=_fill))


@register_metric(_info("rise", "Petsiuk et al. 2018, RISE; RISE@d91ea00 evaluation.py"))
def _score_rise(batch: Batch, *, batch_size: Count) -> Scored:
    """Score as RISE does: from the blurred network input, 224 pixels a step, points taken as equally spaced.

    RISE follows the predicted class: hand in predictions as targets to reproduce it.
    """
    encoded = batch.model.encode(batch.images)
    counts = stepped_counts(batch.maps.shape[-2] * batch.maps.shape[-1], RISE_STEP)
    example = Perturbation(rise_blurred(encoded), encoded, most_first(batch.maps), counts)
    curves = perturbation_curves(
        example,
        batch.targets,
        probability=encoded_probability(batch.model),
        batch_size=batch_size,
        remember=memory_of(batch.model, "encoded"),
    )
    return scored_curves(batch, curves, normalised_area(curves))
