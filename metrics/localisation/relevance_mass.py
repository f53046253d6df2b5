"""Relevance mass accuracy: the share of the attribution in the region, without dropping negative entries.

The share of the positive entries is the energy pointing game, `energy_pg`.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from bcos_eval.contract.exactness import in_float64
from bcos_eval.contract.metric import Batch, MetricInfo, Scored, register_metric
from bcos_eval.contract.shapes import require_matching
from bcos_eval.contract.statuses import is_zero

from .region_scores import mask_undefined, scored_in_region


def relevance_mass_accuracy(maps: Tensor, regions: Tensor) -> Tensor:
    """Sum of the attribution inside the region over the sum of all of it.

    Args:
        maps: Attributions `(B, K, H, W)`, any scale; give absolute values for the unsigned variant.
        regions: True on the object, `(B, K, H, W)` bool.

    Returns:
        Scores `(B, K)`, float64, higher is better. Signed maps can leave [0, 1] without limit. A zero map scores
        0; any other map that sums to 0 scores NaN, and so do a map with NaN or infinity and an empty
        region.

    Raises:
        ValueError: If the shapes differ.
    """
    require_matching(maps, regions)
    exact = in_float64(maps)
    total = exact.flatten(2).sum(-1)
    inside = (exact * regions.to(exact.device)).flatten(2).sum(-1)
    ratio = (inside / total).masked_fill(total == 0, torch.nan).masked_fill(is_zero(exact), 0)
    return mask_undefined(ratio, maps, regions)


def _info(preset: str, low: float, high: float, source: str) -> MetricInfo:
    return MetricInfo(
        name="relevance_mass",
        preset=preset,
        stimulus="single",
        direction="higher",
        low=low,
        high=high,
        chance="area",
        source=source,
    )


@register_metric(
    _info("signed", -math.inf, math.inf, "Arras et al. 2022, CLEVR-XAI, on the signed map"),
    recommended=True,
)
def _score_signed(batch: Batch) -> Scored:
    values = relevance_mass_accuracy(batch.maps, batch.regions)
    return scored_in_region(values, batch, zero_map=batch.maps.flatten(2).sum(-1) == 0)


@register_metric(_info("absolute", 0.0, 1.0, "Kohlbrenner et al. 2020, attribution localisation, of |a|"))
def _score_absolute(batch: Batch) -> Scored:
    values = relevance_mass_accuracy(batch.maps.abs(), batch.regions)
    return scored_in_region(values, batch, zero_map=is_zero(batch.maps))
