"""Top-K intersection: how many of a fixed number of largest attributions lie in the region."""

from __future__ import annotations

import torch
from torch import Tensor

from bcos_eval.contract.metric import Batch, MetricInfo, Scored, register_metric
from bcos_eval.contract.params import Count
from bcos_eval.contract.shapes import require_matching
from bcos_eval.contract.statuses import is_zero

from ..ranking import most_first
from .region_scores import mask_undefined, scored_in_region

# Theiner et al. and Quantus.
DEFAULT_K = 1000


def top_k_intersection(maps: Tensor, regions: Tensor, k: int = DEFAULT_K) -> Tensor:
    """Share of the map's k largest entries that lie inside the region.

    Args:
        maps: Signed attributions `(B, K, H, W)`, any scale.
        regions: True on the object, `(B, K, H, W)` bool.
        k: Number of entries, whatever the size of the region.

    Returns:
        Scores `(B, K)`, float64 in [0, 1], higher is better; a region below k pixels cannot reach 1, and chance is
        its share of the area. Ties go to the smaller index. A zero map scores NaN, and so do a map
        with NaN or infinity and an empty region.

    Raises:
        ValueError: If the shapes differ, or k is not between 1 and the number of pixels.
    """
    require_matching(maps, regions)
    n_pixels = maps.shape[-2] * maps.shape[-1]
    if not 1 <= k <= n_pixels:
        raise ValueError(f"k is {k}; give 1 to {n_pixels}, the pixels of these maps.")
    best = most_first(maps)[..., :k]
    inside = regions.flatten(2).to(best.device).gather(-1, best)
    values = inside.double().mean(-1).masked_fill(is_zero(maps).to(best.device), torch.nan)
    return mask_undefined(values, maps, regions)


@register_metric(
    MetricInfo(
        name="top_k",
        preset="default",
        stimulus="single",
        direction="higher",
        low=0.0,
        high=1.0,
        chance="area",
        source="Theiner et al. 2021, top-K intersection, on the signed map with stable ties",
        defaults={"k": DEFAULT_K},
    ),
    recommended=True,
)
def _score(batch: Batch, *, k: Count) -> Scored:
    values = top_k_intersection(batch.maps, batch.regions, k)
    return scored_in_region(values, batch, zero_map=is_zero(batch.maps))
