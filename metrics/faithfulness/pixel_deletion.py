"""Pixel deletion and insertion: how fast a prediction falls (rises) while the most important pixels go (come)."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import Literal

import torch
from torch import Tensor

from bcos_eval.contract.explained_model import memory_of
from bcos_eval.contract.metric import Batch, CurveAxes, MetricInfo, Scored, register_metric
from bcos_eval.contract.params import PassSize
from bcos_eval.contract.statuses import Status, is_zero, map_statuses
from bcos_eval.seeding import derived_generator, image_key

from ..ranking import First, Ties, pixel_order
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

Curve = Literal["pixel_deletion", "pixel_insertion"]

# protocols.md 5.3: the suite's curve and its controls.
N_STEPS = 50
N_RANDOM_ORDERS = 10
LEAST_PROBABILITY = 1e-6
# RISE@d91ea00 evaluation.py: a row of a 224×224 image per step.
RISE_STEP = 224
DEFAULT_BATCH_SIZE = 64
DEFAULT_FILL = "black"

_SUITE_SOURCE = "Petsiuk et al. 2018, in pixel space, 50 steps over all pixels"
_RISE_SOURCE = "Petsiuk et al. 2018, RISE; RISE@d91ea00 evaluation.py"


def suite_curves(
    batch: Batch, order: Tensor, *, metric: Curve, fill: str, batch_size: int
) -> tuple[Tensor, tuple[int, ...]]:
    """Return a class's probability while pixels are replaced, and how many are at each point.

    Args:
        batch: Images, targets and the model.
        order: Pixel indices, first replaced first, `(B, K, H·W)` int64.
        metric: Whether the fill replaces the image ("pixel_deletion") or the image the fill ("pixel_insertion").
        fill: A key of `PIXEL_FILLS`.
        batch_size: Pictures per forward pass.

    Returns:
        Curves `(B, K, 51)`, float64, and the number of pixels replaced at each point.
    """
    counts = equal_counts(order.shape[-1], N_STEPS)
    filled = PIXEL_FILLS[fill](batch.images)
    ends = (batch.images, filled) if metric == "pixel_deletion" else (filled, batch.images)
    curves = perturbation_curves(
        Perturbation(*ends, order, counts),
        batch.targets,
        probability=pixel_probability(batch.model),
        batch_size=batch_size,
        remember=memory_of(batch.model, "pixels"),
    )
    return curves, counts


def random_order_areas(batch: Batch, metric: Curve, batch_size: int) -> Tensor:
    """Return the mean area below the curves of ten random orders, `(B, K)` float64.

    The orders belong to the image and the seed: every explainer of an image is held against the same ones.

    Args:
        batch: Images, targets, seed and the model; the size of the maps.
        metric: Which curve.
        batch_size: Pictures per forward pass.
    """
    n_pixels = batch.maps.shape[-2] * batch.maps.shape[-1]
    orders = torch.stack([_random_orders(image, n_pixels, batch.seed) for image in batch.images])
    areas = []
    for of_image in batch.targets.unbind(1):
        same = replace(batch, targets=of_image[:, None].expand(-1, N_RANDOM_ORDERS))
        curves, counts = suite_curves(same, orders, metric=metric, fill=DEFAULT_FILL, batch_size=batch_size)
        areas.append(normalised_area(curves, counts).mean(1))
    return torch.stack(areas, 1)


def _random_orders(image: Tensor, n_pixels: int, seed: int) -> Tensor:
    generator = derived_generator(seed, "random orders", image_key(image))
    return torch.stack([torch.randperm(n_pixels, generator=generator) for _ in range(N_RANDOM_ORDERS)])


def _curves(
    batch: Batch, first: First, metric: Curve, fill: str, ties: Ties, batch_size: int
) -> tuple[Tensor, Tensor]:
    """Return the curves of a map's own order, and the areas below them, `(B, K)`."""
    order = pixel_order(batch, first, ties)
    curves, counts = suite_curves(batch, order, metric=metric, fill=fill, batch_size=batch_size)
    return curves, normalised_area(curves, counts)


def _score_area(batch: Batch, *, metric: Curve, fill: str, ties: Ties, batch_size: PassSize) -> Scored:
    """Score the area below the most-first curve; lower is better for deletion, higher for insertion.

    Insertion equals the area below the least-first deletion curve (where ties are drawn; in index order only
    without them). A zero map and a map with NaN or infinity score NaN; pixels of a constant map go in the order of
    ties.
    """
    return scored_curves(batch, *_curves(batch, "most", metric, fill, ties, batch_size))


def _score_gap(batch: Batch, *, fill: str, ties: Ties, batch_size: PassSize) -> Scored:
    """Score the area of the least-first minus that of the most-first curve; the latter's curves are returned.

    The level of the probabilities cancels, so networks with sigmoid and with softmax compare more fairly.
    Undefined where the most-first area is.
    """
    curves, most = _curves(batch, "most", "pixel_deletion", fill, ties, batch_size)
    _, least = _curves(batch, "least", "pixel_deletion", fill, ties, batch_size)
    return scored_curves(batch, curves, least - most)


def _score_controlled(batch: Batch, *, metric: Curve, ties: Ties, batch_size: PassSize) -> Scored:
    """Score as `default` does; the chance level is the mean score of ten random orders of the same image."""
    scored = scored_curves(batch, *_curves(batch, "most", metric, DEFAULT_FILL, ties, batch_size))
    return replace(scored, chance=random_order_areas(batch, metric, batch_size))


def _score_normalised(batch: Batch, *, metric: Curve, ties: Ties, batch_size: PassSize) -> Scored:
    """Score the area of `default` over the intact image's probability, so that networks' levels cancel.

    Skipped, and NaN, where that probability is below 1e-6.
    """
    curves, areas = _curves(batch, "most", metric, DEFAULT_FILL, ties, batch_size)
    intact = curves[..., 0 if metric == "pixel_deletion" else -1]
    faint = intact < LEAST_PROBABILITY
    scored = scored_curves(batch, curves, (areas / intact).masked_fill(faint, torch.nan))
    conditions = {Status.ZERO_MAP: is_zero(batch.maps).cpu(), Status.SKIPPED: faint}
    return replace(scored, status=map_statuses(batch.maps.cpu(), conditions))


def _score_rise(batch: Batch, *, metric: Curve, ties: Ties, batch_size: PassSize) -> Scored:
    """Score as RISE does: in encoded space, 224 pixels a step, points taken as equally spaced.

    Deleted pixels become the encoded zero; insertion starts from the blurred network input. RISE follows the
    predicted class, which is what a run hands in as target.
    """
    encoded = batch.model.encode(batch.images)
    ends = (encoded, torch.zeros_like(encoded)) if metric == "pixel_deletion" else (rise_blurred(encoded), encoded)
    counts = stepped_counts(batch.maps.shape[-2] * batch.maps.shape[-1], RISE_STEP)
    curves = perturbation_curves(
        Perturbation(*ends, pixel_order(batch, "most", ties), counts),
        batch.targets,
        probability=encoded_probability(batch.model),
        batch_size=batch_size,
        remember=memory_of(batch.model, "encoded"),
    )
    return scored_curves(batch, curves, normalised_area(curves))


_DELETION = MetricInfo(
    name="pixel_deletion",
    preset="default",
    stimulus="single",
    needs=("model",),
    direction="lower",
    low=0.0,
    high=1.0,
    chance=None,
    source=f"{_SUITE_SOURCE}, fill {DEFAULT_FILL}",
    defaults={"batch_size": DEFAULT_BATCH_SIZE, "ties": "random"},
    images="correct",
    curve=CurveAxes("pixels removed in %", "probability of target", 0, 100),
)
_INSERTION = replace(
    _DELETION,
    name="pixel_insertion",
    direction="higher",
    curve=CurveAxes("pixels inserted in %", "probability of target", 0, 100),
)


def _register_suite(info: MetricInfo, metric: Curve) -> None:
    """Register what deletion and insertion have in common."""
    recommended = replace(info, headline=True)
    register_metric(recommended, recommended=True)(partial(_score_area, metric=metric, fill=DEFAULT_FILL))
    for fill in (fill for fill in PIXEL_FILLS if fill != DEFAULT_FILL):
        other = info.variant(fill, source=f"{_SUITE_SOURCE}, fill {fill}")
        register_metric(other)(partial(_score_area, metric=metric, fill=fill))
    register_metric(info.variant("controlled", chance="model"))(partial(_score_controlled, metric=metric))
    register_metric(info.variant("normalised", high=float("inf")))(partial(_score_normalised, metric=metric))
    rise = info.variant(
        "rise",
        source=_RISE_SOURCE,
        defaults={**info.defaults, "ties": "index"},
        images="all",
        target="predicted",
    )
    register_metric(rise)(partial(_score_rise, metric=metric))


_register_suite(_DELETION, "pixel_deletion")
_register_suite(_INSERTION, "pixel_insertion")
for _fill in PIXEL_FILLS:
    _name = "gap" if _fill == DEFAULT_FILL else f"gap_{_fill}"
    _gap = _DELETION.variant(_name, direction="higher", low=-1.0, source=f"{_SUITE_SOURCE}, fill {_fill}")
    register_metric(_gap)(partial(_score_gap, fill=_fill))
