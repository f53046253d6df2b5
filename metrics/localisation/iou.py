"""Intersection over union of the region with the pixels whose attribution is high, or with their bounding box."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from bcos_eval.contract.exactness import in_float64
from bcos_eval.contract.metric import Batch, MetricInfo, Scored, register_metric, unknown_chance
from bcos_eval.contract.params import Fraction, OddSide
from bcos_eval.contract.shapes import require_matching

from .region_scores import mask_undefined, scored_in_region, smooth

# Model-Guidance: pixels above half of the map's range count; a smaller range is divided by the maximum instead.
MODEL_GUIDANCE_THRESHOLD = 0.5
MODEL_GUIDANCE_SMALL_RANGE = 1e-7
# How-to-probe: average pooling first; its authors' threshold for LRP, and from 0.2 (GradCAM) to 0.5 for others.
HOW_TO_PROBE_SMOOTHING = 5
HOW_TO_PROBE_THRESHOLD = 0.3
HOW_TO_PROBE_EPSILON = 1e-12
HOW_TO_PROBE_DECIMALS = 2


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
    return mask_undefined(_iou(chosen, regions.to(chosen.device)), maps, regions)


def box_iou(
    maps: Tensor,
    regions: Tensor,
    threshold: float = HOW_TO_PROBE_THRESHOLD,
    smoothing: int = HOW_TO_PROBE_SMOOTHING,
) -> Tensor:
    """Intersection over union of the region with the bounding box of the pixels whose attribution is high.

    As the published code computes it: the box leaves out the last row and column that hold a high pixel, a map
    without high pixels gets the top left pixel as its box, and every score is rounded to two decimals. The region
    is taken as it is: of an object with several boxes it is their union.

    Args:
        maps: Signed attributions `(B, K, H, W)`; smoothed, negative entries dropped, scaled to [0, 1].
        regions: True in the boxes of the object, `(B, K, H, W)` bool.
        threshold: A pixel is high from this value on.
        smoothing: Odd side in pixels of the average pooling of the signed map; 1 for none.

    Returns:
        Scores `(B, K)`, float64 in [0, 1], higher is better. A map with NaN or infinity scores NaN, and so does an
        empty region.

    Raises:
        ValueError: If the shapes differ or the smoothing is even.

    Source: how-to-probe@e703756 evaluate_attributions/epg/eval_voc_epg.py, get_iou_val.
    """
    require_matching(maps, regions)
    positive = smooth(maps, smoothing).clamp_min(0)
    low, high = positive.amin((2, 3), keepdim=True), positive.amax((2, 3), keepdim=True)
    chosen = (positive - low) / (HOW_TO_PROBE_EPSILON + high - low) >= threshold
    overlap = _iou(_boxes(chosen), regions.to(chosen.device))
    # Python's rounding, of the decimal fraction: torch's is of a multiple, which turns 0.075 into 0.08.
    rounded = [[round(score, HOW_TO_PROBE_DECIMALS) for score in row] for row in overlap.tolist()]
    return mask_undefined(torch.tensor(rounded, dtype=torch.float64), maps, regions)


def _boxes(chosen: Tensor) -> Tensor:
    """Return True in the published code's box around chosen pixels `(B, K, H, W)`, see `box_iou`."""
    boxes = _span(chosen.any(3))[..., :, None] & _span(chosen.any(2))[..., None, :]
    boxes[..., 0, 0] |= ~chosen.flatten(2).any(-1)
    return boxes


def _span(hits: Tensor) -> Tensor:
    """Return True from the first hit along the last axis up to, and not including, the last one."""
    begun = hits.long().cummax(-1).values
    from_here = hits.long().flip(-1).cummax(-1).values.flip(-1)
    return (begun & F.pad(from_here[..., 1:], (0, 1))).bool()


def _iou(chosen: Tensor, inside: Tensor) -> Tensor:
    intersection = (chosen & inside).flatten(2).sum(-1).double()
    union = (chosen | inside).flatten(2).sum(-1).double()
    return intersection / union.clamp_min(1)


def _normalised(positive: Tensor) -> Tensor:
    low, high = positive.amin((2, 3), keepdim=True), positive.amax((2, 3), keepdim=True)
    small = high - low < MODEL_GUIDANCE_SMALL_RANGE
    width = torch.where(small, high, high - low)
    shifted = torch.where(small, positive, positive - low)
    return shifted / width.masked_fill(width == 0, 1)


_MODEL_GUIDANCE = MetricInfo(
    name="iou",
    preset="model_guidance",
    stimulus="single",
    direction="higher",
    low=0.0,
    high=1.0,
    chance=None,
    source="Rao et al. 2023; Model-Guidance@3a6e034 metrics.py",
)


@register_metric(_MODEL_GUIDANCE, recommended=True)
def _score_model_guidance(batch: Batch) -> Scored:
    return _scored(thresholded_iou(batch.maps, batch.regions), batch)


@register_metric(
    _MODEL_GUIDANCE.variant(
        "how_to_probe",
        source="Gairola et al. 2025; how-to-probe@e703756 eval_voc_epg.py, get_iou_val",
        defaults={"threshold": HOW_TO_PROBE_THRESHOLD, "smoothing": HOW_TO_PROBE_SMOOTHING},
    )
)
def _score_how_to_probe(batch: Batch, *, threshold: Fraction, smoothing: OddSide) -> Scored:
    return _scored(box_iou(batch.maps, batch.regions, threshold, smoothing), batch)


def _scored(values: Tensor, batch: Batch) -> Scored:
    no_positive = (batch.maps <= 0).flatten(2).all(-1)
    return scored_in_region(values, batch, zero_map=no_positive, chance=unknown_chance(values))
