"""ROAD: how a prediction changes while pixels are replaced by what their neighbours suggest."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Literal

import torch
from torch import Tensor

from bcos_eval.contract.metric import Batch, MetricInfo, Scored, register_metric
from bcos_eval.seeding import derived_generator, image_key

from ..ranking import least_first, most_first
from .imputation import linear_imputation
from .perturbation import pixel_probability, scored_curves

PERCENTS = (10, 20, 30, 40, 50, 60, 70, 80, 90)
# Rong et al. 2022: keeps a network from recognising the smooth patches.
NOISE_DEVIATION = 0.01

Order = Literal["most", "least"]
Reading = Callable[[Tensor, Tensor], Tensor]
_ORDERS: Mapping[Order, Callable[[Tensor], Tensor]] = {"most": most_first, "least": least_first}
_SOURCE = "Rong et al. 2022, ROAD; removal by exact ranks in pixel space"


def road_pictures(image: Tensor, order: Tensor, *, seed: int = 0) -> Tensor:
    """Return an image without the first 10, 20, … 90 % of its pixels, imputed with noise.

    Args:
        image: `(3, H, W)` in [0, 1].
        order: Pixel indices, first removed first, `(H·W,)` int64.
        seed: Seed of the noise, which depends on the image and the percentage but not on the order.

    Returns:
        `(9, 3, H, W)`, dtype and device of the image; noise may leave [0, 1] by a few hundredths.

    Raises:
        ValueError: If the image is so small that 90 % rounds to all pixels.
    """
    pictures = []
    for percent in PERCENTS:
        removed = torch.zeros(order.shape, dtype=torch.bool)
        removed[order[: round(percent * len(order) / 100)].cpu()] = True
        here = removed.unflatten(0, image.shape[-2:])
        noise = _noise(image, percent, seed)
        pictures.append(linear_imputation(image, here) + noise * here)
    return torch.stack(pictures).to(image)


def _noise(image: Tensor, percent: int, seed: int) -> Tensor:
    generator = derived_generator(seed, "road", image_key(image), percent)
    return NOISE_DEVIATION * torch.randn(image.shape, generator=generator, dtype=torch.float64)


@torch.no_grad()
def road_curves(batch: Batch, order: Order, reading: Reading) -> Tensor:
    """Return what the model says of each target at 10, 20, … 90 % removed pixels, `(B, K, 9)` float64, on the CPU.

    Args:
        batch: Maps, images, targets, the model and the seed.
        order: Which pixels go first.
        reading: Maps probabilities `(9, C)` and a target to values `(9,)`.
    """
    orders, probability = _ORDERS[order](batch.maps), pixel_probability(batch.model)
    curves = [
        reading(probability(road_pictures(image, orders[b, k], seed=batch.seed)), target).double().cpu()
        for b, image in enumerate(batch.images)
        for k, target in enumerate(batch.targets[b])
    ]
    return torch.stack(curves).unflatten(0, batch.targets.shape)


def _target_probability(probabilities: Tensor, target: Tensor) -> Tensor:
    return probabilities[:, target]


def _is_predicted(probabilities: Tensor, target: Tensor) -> Tensor:
    return probabilities.argmax(-1) == target


def _info(
    preset: str, direction: Literal["higher", "lower"], low: float = 0.0, chance: float | None = None
) -> MetricInfo:
    return MetricInfo(
        name="road",
        preset=preset,
        stimulus="single",
        needs=("model",),
        direction=direction,
        low=low,
        high=0.5 if preset in ("default", "accuracy") else 1.0,
        chance=chance,
        source=_SOURCE,
    )


@register_metric(_info("default", "higher", low=-0.5, chance=0.0), recommended=True)
def _score_combined(batch: Batch) -> Scored:
    """Score half the target's mean probability, least important pixels removed first, minus most important first.

    Curves hold the nine points of the least-first order, then those of the most-first order. An order that knows
    nothing scores 0 in expectation. A zero map and a map with NaN or infinity score NaN, along the curve too;
    pixels of a constant map go in row-major order.
    """
    return _combined(batch, _target_probability)


@register_metric(_info("accuracy", "higher", low=-0.5, chance=0.0))
def _score_accuracy(batch: Batch) -> Scored:
    """Score as `default` does, with 1 where the target has the largest probability and 0 elsewhere."""
    return _combined(batch, _is_predicted)


@register_metric(_info("most", "lower"))
def _score_most_first(batch: Batch) -> Scored:
    """Score the target's mean probability, most important pixels removed first; undefined as `default` is."""
    return _mean_of(batch, [road_curves(batch, "most", _target_probability)])


@register_metric(_info("least", "higher"))
def _score_least_first(batch: Batch) -> Scored:
    """Score the target's mean probability, least important pixels removed first; undefined as `default` is."""
    return _mean_of(batch, [road_curves(batch, "least", _target_probability)])


def _combined(batch: Batch, reading: Reading) -> Scored:
    least, most = (road_curves(batch, order, reading) for order in ("least", "most"))
    scored = scored_curves(batch, torch.cat([least, most], -1), (least.mean(-1) - most.mean(-1)) / 2)
    return Scored(scored.values, scored.status, torch.zeros_like(scored.values), scored.curves)


def _mean_of(batch: Batch, curves: Sequence[Tensor]) -> Scored:
    joined = torch.cat(list(curves), -1)
    return scored_curves(batch, joined, joined.mean(-1))
