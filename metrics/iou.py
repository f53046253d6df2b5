"""Intersection over union of the region with the pixels whose attribution is high."""

from __future__ import annotations

import torch
from torch import Tensor

from .precision import in_float64
from .region_scores import mask_undefined, scored_in_region
from .registry import Batch, MetricInfo, Scored, register_metric
from .shapes import require_matching

# Model-Guidance: pixels above half of the map's range count; a smaller range is divided by the maximum instead.
MODEL_GUIDANCE_THRESHOLD = 0.5
MODEL_GUIDANCE_SMALL_RANGE = 1e-7


def thresholded_iou(maps: Tensor, regions: Tensor) -> Tensor:
    """Intersection over union of the region with the pixels above half of the positive map's range.

    Args:
        maps: Signed attributions `(B, K, H, W)`; negative entries count as 0.
        regions: True on the object, `(B, K, H, W)` bool.

    Returns:
        Scores `(B, K)`, float64 in [0, 1], higher is better. A map without positive entries scores 0, a constant
        positive one the region's share of the area, a map with NaN or infinity NaN, and so does an empty region.

    Raises:
        ValueError: If the shapes differ.
    """
    require_matching(maps, regions)
    chosen = _normalised(in_float64(maps).clamp_min(0)) > MODEL_GUIDANCE_THRESHOLD
    inside = regions.to(chosen.device)
    intersection = (chosen & inside).flatten(2).sum(-1).double()
    union = (chosen | inside).flatten(2).sum(-1).double()
    return mask_undefined(intersection / union.clamp_min(1), maps, regions)


def _normalised(positive: Tensor) -> Tensor:
    low, high = positive.amin((2, 3), keepdim=True), positive.amax((2, 3), keepdim=True)
    small = high - low < MODEL_GUIDANCE_SMALL_RANGE
    width = torch.where(small, high, high - low)
    shifted = torch.where(small, positive, positive - low)
    return shifted / width.masked_fill(width == 0, 1)


@register_metric(
    MetricInfo(
        name="iou",
        preset="model_guidance",
        stimulus="single",
        needs_predict=False,
        direction="higher",
        low=0.0,
        high=1.0,
        chance=None,
        source="Rao et al. 2023; Model-Guidance@3a6e034 metrics.py",
    ),
    recommended=True,
)
def _score_model_guidance(batch: Batch) -> Scored:
    values = thresholded_iou(batch.maps, batch.regions)
    unknown = torch.full_like(values, torch.nan)
    no_positive = (batch.maps <= 0).flatten(2).all(-1)
    return scored_in_region(values, batch, zero_map=no_positive, chance=unknown)
