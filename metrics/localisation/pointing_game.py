"""Pointing game: whether the largest attribution lies on, or close to, the object."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
from scipy import ndimage
from torch import Tensor

from bcos_eval.contract.exactness import in_float64
from bcos_eval.contract.metric import Batch, MetricInfo, Scored, register_metric
from bcos_eval.contract.params import Positive
from bcos_eval.contract.shapes import require_matching
from bcos_eval.contract.statuses import area_share, is_zero

from ..ranking import Ties, tie_order, tied_share
from .region_scores import mask_undefined, scored_in_region

# TorchRay: a point closer than this to the object is a hit; pixels of the image, strict.
TORCHRAY_TOLERANCE = 15.0
# Distances of pixels are 0 or at least 1: only the object itself is closer than 1.
EXACT_TOLERANCE = 1.0


def pointing_hits(maps: Tensor, regions: Tensor, tolerance: float = TORCHRAY_TOLERANCE) -> Tensor:
    """Whether the pixel of the largest attribution is closer than `tolerance` to the region.

    Args:
        maps: Signed attributions `(B, K, H, W)` at image resolution.
        regions: True on the object, `(B, K, H, W)` bool.
        tolerance: Distance in pixels that is too far; 1 accepts the region only.

    Returns:
        1 for a hit, 0 for a miss, `(B, K)` float64, higher is better. Of several maxima the first in row-major
        order counts, so a constant (also a zero) map points at the top-left pixel; the metric's `default` preset
        draws one of them at random. A map with NaN or infinity scores NaN, and so does an empty region.

    Raises:
        ValueError: If the shapes differ or the tolerance is not positive.

    Example:
        >>> import torch
        >>> corner = torch.tensor([[[[True, False], [False, False]]]])
        >>> pointing_hits(torch.tensor([[[[0.0, 1.0], [0.0, 0.0]]]]), corner, tolerance=1.0)
        tensor([[0.]], dtype=torch.float64)
    """
    require_matching(maps, regions)
    return mask_undefined(_hits(_first_maximum(maps), near_region(regions, tolerance)), maps, regions)


def near_region(regions: Tensor, tolerance: float) -> Tensor:
    """Return True on the pixels closer than `tolerance` pixels to a region, `(B, K, H, W)` bool, on the CPU.

    Raises:
        ValueError: If the tolerance is not positive.
    """
    if not tolerance > 0:
        raise ValueError(f"tolerance is {tolerance}; give a positive number of pixels, 1 for none.")
    outside = ~regions.cpu().flatten(0, 1).numpy()
    near = np.zeros_like(outside)
    for unit, pixels in enumerate(outside):
        if not pixels.all():
            near[unit] = _squared_distance(pixels) < tolerance**2
    return torch.from_numpy(near).unflatten(0, regions.shape[:2])


def _squared_distance(outside: np.ndarray) -> np.ndarray:
    # Squared pixel distances are integers; rounding makes the comparison exact.
    return np.rint(ndimage.distance_transform_edt(outside) ** 2)


def _first_maximum(maps: Tensor) -> Tensor:
    """Return the index of the first of the largest entries, `(B, K)` int64."""
    return in_float64(maps).flatten(2).argmax(-1)


def _drawn_maximum(batch: Batch) -> Tensor:
    """Return the index of one of the largest entries, `(B, K)` int64, drawn at random."""
    entries = batch.maps.flatten(2)
    shuffled = tie_order(batch)[:, None].expand_as(entries)
    first = entries.gather(-1, shuffled).argmax(-1, keepdim=True)
    return shuffled.gather(-1, first)[..., 0]


def _hits(points: Tensor, near: Tensor) -> Tensor:
    return near.flatten(2).gather(-1, points.cpu()[..., None])[..., 0].double()


_DEFAULT = MetricInfo(
    name="pointing_game",
    preset="default",
    stimulus="single",
    direction="higher",
    low=0.0,
    high=1.0,
    chance="area",
    source="Zhang et al. 2018; of several maxima one at random, else as torchray",
    defaults={"tolerance": TORCHRAY_TOLERANCE, "ties": "random"},
    # protocols.md section 4.2: hits are counted per class.
    mean_over_classes=True,
    headline=True,
)


@register_metric(_DEFAULT, recommended=True)
@register_metric(
    _DEFAULT.variant(
        "torchray",
        source="Zhang et al. 2018; TorchRay@6a198ee benchmark/pointing_game.py",
        defaults={"tolerance": TORCHRAY_TOLERANCE, "ties": "index"},
        headline=False,
    )
)
def _score(batch: Batch, *, tolerance: Positive, ties: Ties) -> Scored:
    return _scored(batch, tolerance, ties)


@register_metric(
    _DEFAULT.variant(
        "exact",
        source="Zhang et al. 2018, without tolerance; a zero map has no score",
        defaults={"ties": "random"},
        headline=False,
    )
)
def _score_exact(batch: Batch, *, ties: Ties) -> Scored:
    scored = _scored(batch, EXACT_TOLERANCE, ties)
    return replace(scored, values=scored.values.masked_fill(is_zero(batch.maps).cpu(), torch.nan))


def _scored(batch: Batch, tolerance: float, ties: Ties) -> Scored:
    near = near_region(batch.regions, tolerance)
    points = _first_maximum(batch.maps) if ties == "index" else _drawn_maximum(batch)
    return scored_in_region(
        mask_undefined(_hits(points, near), batch.maps, batch.regions),
        batch,
        zero_map=is_zero(batch.maps),
        chance=area_share(near),  # the share of the pixels that would be a hit
        tied=tied_share(batch.maps),
    )
