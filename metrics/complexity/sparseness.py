"""Sparseness: the Gini index of a map, how unequally the attribution is spread over the pixels."""

from __future__ import annotations

import torch
from torch import Tensor

from bcos_eval.contract.exactness import in_float64
from bcos_eval.contract.metric import Batch, MetricInfo, Scored, register_metric
from bcos_eval.contract.statuses import is_nonfinite

from .mass_distribution import scored_distribution


def gini_index(masses: Tensor) -> Tensor:
    """Return the Gini index of non-negative maps.

    Nothing is added to the entries, so the index does not depend on the scale of the map (implementations that
    add a constant measure that too).

    Args:
        masses: Maps `(B, K, H, W)`, entries at least 0.

    Returns:
        Index `(B, K)`, float64, from 0 (uniform) to 1 − 1/(H·W) (one pixel). NaN for a zero map and a map with
        NaN or infinity.
    """
    ascending = in_float64(masses).flatten(2).sort(-1).values
    n = ascending.shape[-1]
    weights = 2 * torch.arange(1, n + 1, device=ascending.device, dtype=torch.float64) - n - 1
    total = ascending.sum(-1)
    index = (ascending * weights).sum(-1) / (n * total)
    return index.masked_fill((total == 0) | is_nonfinite(masses).to(total.device), torch.nan)


def _info(preset: str) -> MetricInfo:
    return MetricInfo(
        name="sparseness",
        preset=preset,
        stimulus="single",
        direction="higher",
        low=0.0,
        high=1.0,
        chance=None,
        source=f"Chalasani et al. 2020, Gini index of the {preset} attribution",
    )


@register_metric(_info("positive"), recommended=True)
def _score_positive(batch: Batch) -> Scored:
    return scored_distribution(batch.maps.clamp_min(0), batch, gini_index)


@register_metric(_info("absolute"))
def _score_absolute(batch: Batch) -> Scored:
    return scored_distribution(batch.maps.abs(), batch, gini_index)
