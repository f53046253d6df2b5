"""Pixel deletion and insertion with their controls: against the intact image, and against random orders."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import Literal

import torch
from torch import Tensor

from bcos_eval.contract.explained_model import memory_of
from bcos_eval.contract.metric import Batch, MetricInfo, Scored, register_metric
from bcos_eval.contract.params import Count
from bcos_eval.contract.statuses import Status, is_zero, map_statuses
from bcos_eval.seeding import derived_generator, image_key

from ..ranking import most_first
from .fills import PIXEL_FILLS
from .perturbation import (
    Perturbation,
    equal_counts,
    normalised_area,
    perturbation_curves,
    pixel_probability,
    scored_curves,
)
from .pixel_deletion import DEFAULT_BATCH_SIZE, DEFAULT_FILL, N_STEPS, deletion_curves
from .pixel_insertion import insertion_curves

Curve = Literal["pixel_deletion", "pixel_insertion"]

# protocols.md 5.3.
N_RANDOM_ORDERS = 10
LEAST_PROBABILITY = 1e-6

_SOURCE = "Petsiuk et al. 2018, in pixel space, 50 steps over all pixels, fill black"


def _curves(batch: Batch, metric: Curve, batch_size: int) -> tuple[Tensor, tuple[int, ...]]:
    if metric == "pixel_deletion":
        return deletion_curves(batch, most_first, fill=DEFAULT_FILL, batch_size=batch_size)
    return insertion_curves(batch, fill=DEFAULT_FILL, batch_size=batch_size)


def random_order_areas(batch: Batch, metric: Curve, batch_size: int) -> Tensor:
    """Return the mean area below the curves of ten random orders, `(B, K)` float64.

    The orders belong to the image and the seed: every explainer of an image is held against the same ones.

    Args:
        batch: Images, targets, seed and the model; the size of the maps.
        metric: Which curve.
        batch_size: Pictures per forward pass.
    """
    n_pixels = batch.maps.shape[-2] * batch.maps.shape[-1]
    filled = PIXEL_FILLS[DEFAULT_FILL](batch.images)
    ends = (batch.images, filled) if metric == "pixel_deletion" else (filled, batch.images)
    counts = equal_counts(n_pixels, N_STEPS)
    example = Perturbation(
        *ends, torch.stack([_orders(image, n_pixels, batch.seed) for image in batch.images]), counts
    )
    areas = []
    for of_image in batch.targets.unbind(1):
        curves = perturbation_curves(
            example,
            of_image[:, None].expand(-1, N_RANDOM_ORDERS),
            probability=pixel_probability(batch.model),
            batch_size=batch_size,
            remember=memory_of(batch.model, "pixels"),
        )
        areas.append(normalised_area(curves, counts).mean(1))
    return torch.stack(areas, 1)


def _orders(image: Tensor, n_pixels: int, seed: int) -> Tensor:
    generator = derived_generator(seed, "random orders", image_key(image))
    return torch.stack([torch.randperm(n_pixels, generator=generator) for _ in range(N_RANDOM_ORDERS)])


def _score_controlled(batch: Batch, *, metric: Curve, batch_size: Count) -> Scored:
    """Score as `default` does; the chance level is the mean score of ten random orders of the same image."""
    curves, counts = _curves(batch, metric, batch_size)
    scored = scored_curves(batch, curves, normalised_area(curves, counts))
    return replace(scored, chance=random_order_areas(batch, metric, batch_size))


def _score_normalised(batch: Batch, *, metric: Curve, batch_size: Count) -> Scored:
    """Score the area of `default` over the intact image's probability, so that networks' levels cancel.

    Skipped, and NaN, where that probability is below 1e-6.
    """
    curves, counts = _curves(batch, metric, batch_size)
    intact = curves[..., 0 if metric == "pixel_deletion" else -1]
    faint = intact < LEAST_PROBABILITY
    scored = scored_curves(batch, curves, (normalised_area(curves, counts) / intact).masked_fill(faint, torch.nan))
    conditions = {Status.ZERO_MAP: is_zero(batch.maps).cpu(), Status.SKIPPED: faint}
    return replace(scored, status=map_statuses(batch.maps.cpu(), conditions))


def _info(metric: Curve, preset: str, high: float) -> MetricInfo:
    return MetricInfo(
        name=metric,
        preset=preset,
        stimulus="single",
        needs=("model",),
        direction="lower" if metric == "pixel_deletion" else "higher",
        low=0.0,
        high=high,
        chance="model" if preset == "controlled" else None,
        source=_SOURCE,
        defaults={"batch_size": DEFAULT_BATCH_SIZE},
    )


for _metric in ("pixel_deletion", "pixel_insertion"):
    register_metric(_info(_metric, "controlled", 1.0))(partial(_score_controlled, metric=_metric))
    register_metric(_info(_metric, "normalised", float("inf")))(partial(_score_normalised, metric=_metric))
