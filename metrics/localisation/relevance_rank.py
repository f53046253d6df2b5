"""Relevance rank accuracy: how many of the K largest attributions lie in a region of K pixels."""

from __future__ import annotations

import torch
from torch import Tensor

from bcos_eval.contract.metric import Batch, MetricInfo, Scored, register_metric
from bcos_eval.contract.shapes import require_matching
from bcos_eval.contract.statuses import is_zero

from ..ranking import most_first, rank_of_pixels
from .region_scores import mask_undefined, scored_in_region


def relevance_rank_accuracy(maps: Tensor, regions: Tensor) -> Tensor:
    """Share of the region's pixels that are among the map's |region| largest entries.

    Args:
        maps: Signed attributions `(B, K, H, W)`, any scale.
        regions: True on the object, `(B, K, H, W)` bool.

    Returns:
        Scores `(B, K)`, float64 in [0, 1], higher is better; chance is the region's share of the area. Ties
        go to the smaller index. A zero map scores NaN, and so do a map with NaN or infinity and an
        empty region.

    Raises:
        ValueError: If the shapes differ.
    """
    require_matching(maps, regions)
    ranks = rank_of_pixels(most_first(maps))
    inside = regions.flatten(2).to(ranks.device)
    size = inside.sum(-1)
    found = (inside & (ranks < size[..., None])).sum(-1).double()
    values = (found / size.clamp_min(1)).masked_fill(is_zero(maps).to(ranks.device), torch.nan)
    return mask_undefined(values, maps, regions)


@register_metric(
    MetricInfo(
        name="relevance_rank",
        preset="default",
        stimulus="single",
        direction="higher",
        low=0.0,
        high=1.0,
        chance="area",
        source="Arras et al. 2022, CLEVR-XAI, on the signed map with stable ties",
    ),
    recommended=True,
)
def _score(batch: Batch) -> Scored:
    values = relevance_rank_accuracy(batch.maps, batch.regions)
    return scored_in_region(values, batch, zero_map=is_zero(batch.maps))
