"""ROAD: how a prediction changes while pixels are replaced by what their neighbours suggest."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.sparse import csc_array
from scipy.sparse.linalg import splu
from torch import Tensor

from bcos_eval.contract.exactness import in_float64
from bcos_eval.contract.metric import Batch, CurveAxes, MetricInfo, Scored, register_metric
from bcos_eval.seeding import derived_generator, image_key

from ..ranking import First, Ties, pixel_order
from .perturbation import pixel_probability, scored_curves

# Rong et al. 2022: what a direct and what a diagonal neighbour weighs.
DIRECT_WEIGHT = 1 / 6
DIAGONAL_WEIGHT = 1 / 12
_NEIGHBOURS = [(row, column) for row in (-1, 0, 1) for column in (-1, 0, 1) if (row, column) != (0, 0)]

Floats = NDArray[np.float64]

PERCENTS = (10, 20, 30, 40, 50, 60, 70, 80, 90)
# Rong et al. 2022: keeps a network from recognising the smooth patches.
NOISE_DEVIATION = 0.01

Reading = Callable[[Tensor, Tensor], Tensor]
_SOURCE = "Rong et al. 2022, ROAD; removal by exact ranks in pixel space"


def linear_imputation(image: Tensor, removed: Tensor) -> Tensor:
    """Return the image with every removed pixel the weighted mean of its eight neighbours.

    The means of all removed pixels hold at once; neighbours outside the image do not count.

    Args:
        image: `(C, H, W)`, any range.
        removed: True on the pixels to fill in, `(H, W)` bool.

    Returns:
        `(C, H, W)`, float64, on the CPU. Known pixels are unchanged, imputed ones within their range.

    Raises:
        ValueError: If all pixels are removed, which leaves nothing to impute from.

    Source: Rong et al. 2022, A Consistent and Efficient Evaluation Strategy for Attribution Methods, section 4.2.
    """
    if removed.all():
        height, width = removed.shape
        raise ValueError(f"all {height}×{width} pixels are removed; keep at least one to impute from.")
    filled = in_float64(image).cpu().clone()
    if removed.any():
        values = _solve(filled.numpy(), removed.cpu().numpy())
        filled[:, removed.cpu()] = torch.from_numpy(values.T.copy())
    return filled


def _solve(image: Floats, removed: NDArray[np.bool_]) -> Floats:
    """Return the values of the removed pixels in row-major order, `(M, C)`."""
    height, width = removed.shape
    rows, columns = np.nonzero(removed)
    n_unknown = len(rows)
    place = np.full(removed.shape, -1)
    place[rows, columns] = np.arange(n_unknown)
    total_weight, known = np.zeros(n_unknown), np.zeros((n_unknown, len(image)))
    entries: list[tuple[Floats, NDArray[np.int64], NDArray[np.int64]]] = []
    for down, right in _NEIGHBOURS:
        row, column = rows + down, columns + right
        pixel = np.flatnonzero((row >= 0) & (row < height) & (column >= 0) & (column < width))
        weight = DIAGONAL_WEIGHT if down and right else DIRECT_WEIGHT
        neighbour = place[row[pixel], column[pixel]]
        unknown = neighbour >= 0
        total_weight[pixel] += weight
        entries.append((np.full(unknown.sum(), -weight), pixel[unknown], neighbour[unknown]))
        given = pixel[~unknown]
        known[given] += weight * image[:, row[given], column[given]].T
    entries.append((total_weight, np.arange(n_unknown), np.arange(n_unknown)))
    values, i, j = (np.concatenate(parts) for parts in zip(*entries, strict=True))
    system = csc_array((values, (i, j)), shape=(n_unknown, n_unknown))
    # Symmetric and positive definite: no pivots needed.
    factors = splu(system, permc_spec="MMD_AT_PLUS_A", diag_pivot_thresh=0.0, options={"SymmetricMode": True})
    solution: Floats = factors.solve(known)
    return solution


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
def road_curves(batch: Batch, first: First, ties: Ties, reading: Reading) -> Tensor:
    """Return what the model says of each target at 10, 20, … 90 % removed pixels, `(B, K, 9)` float64, on the CPU.

    Args:
        batch: Maps, images, targets, the model and the seed.
        first: Which pixels go first.
        ties: How equal entries are ordered.
        reading: Maps probabilities `(9, C)` and a target to values `(9,)`.
    """
    orders, probability = pixel_order(batch, first, ties), pixel_probability(batch.model)
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


_CURVE = CurveAxes("pixels removed in %", "probability of target", PERCENTS[0], PERCENTS[-1])
_COMBINED_CURVE = replace(_CURVE, parts=("least important first", "most important first"))
_COMBINED = MetricInfo(
    name="road",
    preset="default",
    stimulus="single",
    needs=("model",),
    direction="higher",
    low=-0.5,
    high=0.5,
    chance=0.0,
    source=_SOURCE,
    defaults={"ties": "random"},
    expensive=True,
    curve=_COMBINED_CURVE,
    images="correct",
)
_LEAST_FIRST = _COMBINED.variant("least", low=0.0, high=1.0, chance=None, curve=_CURVE)


@register_metric(_COMBINED, recommended=True)
def _score_combined(batch: Batch, *, ties: Ties) -> Scored:
    """Score half the target's mean probability, least important pixels removed first, minus most important first.

    Curves hold the nine points of the least-first order, then those of the most-first order. An order that knows
    nothing scores 0 in expectation. A zero map and a map with NaN or infinity score NaN, along the curve too;
    pixels of a constant map go in the order of ties.
    """
    return _combined(batch, ties, _target_probability)


@register_metric(_COMBINED.variant("accuracy", curve=replace(_COMBINED_CURVE, y="share of targets predicted")))
def _score_accuracy(batch: Batch, *, ties: Ties) -> Scored:
    """Score as `default` does, with 1 where the target has the largest probability and 0 elsewhere."""
    return _combined(batch, ties, _is_predicted)


@register_metric(_LEAST_FIRST.variant("most", direction="lower"))
def _score_most_first(batch: Batch, *, ties: Ties) -> Scored:
    """Score the target's mean probability, most important pixels removed first; undefined as `default` is."""
    curves = road_curves(batch, "most", ties, _target_probability)
    return scored_curves(batch, curves, curves.mean(-1))


@register_metric(_LEAST_FIRST)
def _score_least_first(batch: Batch, *, ties: Ties) -> Scored:
    """Score the target's mean probability, least important pixels removed first; undefined as `default` is."""
    curves = road_curves(batch, "least", ties, _target_probability)
    return scored_curves(batch, curves, curves.mean(-1))


def _combined(batch: Batch, ties: Ties, reading: Reading) -> Scored:
    least, most = (road_curves(batch, first, ties, reading) for first in ("least", "most"))
    scored = scored_curves(batch, torch.cat([least, most], -1), (least.mean(-1) - most.mean(-1)) / 2)
    return replace(scored, chance=torch.zeros_like(scored.values))
