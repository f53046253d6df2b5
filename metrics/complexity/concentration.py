"""How concentrated an attribution is: Gini index (sparseness) and entropy; they know neither model nor region."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

from bcos_eval.contract.exactness import in_float64
from bcos_eval.contract.metric import Batch, MetricInfo, Scored, register_metric, unknown_chance
from bcos_eval.contract.statuses import Status, is_nonfinite, is_zero, map_statuses


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


def mass_entropy(masses: Tensor) -> Tensor:
    """Return the Shannon entropy of non-negative maps taken as distributions over the pixels.

    Args:
        masses: Maps `(B, K, H, W)`, entries at least 0, any scale.

    Returns:
        Entropy in nats `(B, K)`, float64, from 0 (one pixel) to ln(H·W) (uniform). NaN for a zero map and a map
        with NaN or infinity.
    """
    exact = in_float64(masses).flatten(2)
    total = exact.sum(-1, keepdim=True)
    share = exact / total
    entropy = torch.special.entr(share).sum(-1)
    undefined = (total[..., 0] == 0) | is_nonfinite(masses).to(exact.device)
    return entropy.masked_fill(undefined, torch.nan)


def normalised_entropy(masses: Tensor) -> Tensor:
    """Return `mass_entropy` divided by ln(H·W), in [0, 1]; NaN also for a map of one pixel."""
    largest = math.log(masses.shape[-2] * masses.shape[-1])
    # The uniform map's sum can exceed the logarithm by rounding.
    return (mass_entropy(masses) / largest).clamp_max(1.0)


def _scored(masses: Tensor, batch: Batch, score_of: Callable[[Tensor], Tensor]) -> Scored:
    """Score what a preset takes from the maps; where nothing is left the score is NaN with status `zero_map`."""
    undefined = is_nonfinite(batch.maps)
    values = score_of(masses).masked_fill(undefined, torch.nan).cpu()
    return Scored(values, map_statuses(batch.maps, {Status.ZERO_MAP: is_zero(masses)}), unknown_chance(values))


_SPARSENESS = MetricInfo(
    name="sparseness",
    preset="positive",
    stimulus="single",
    direction="higher",
    low=0.0,
    high=1.0,
    chance=None,
    source="Chalasani et al. 2020, Gini index of the positive attribution",
    headline=True,
)
_SPARSENESS_ABSOLUTE = _SPARSENESS.variant(
    "absolute", source="Chalasani et al. 2020, Gini index of the absolute attribution", headline=False
)


@register_metric(_SPARSENESS, recommended=True)
def _score_positive_sparseness(batch: Batch) -> Scored:
    return _scored(batch.maps.clamp_min(0), batch, gini_index)


@register_metric(_SPARSENESS_ABSOLUTE)
def _score_absolute_sparseness(batch: Batch) -> Scored:
    return _scored(batch.maps.abs(), batch, gini_index)


_ENTROPY = MetricInfo(
    name="entropy",
    preset="positive",
    stimulus="single",
    direction="lower",
    low=0.0,
    high=1.0,
    chance=None,
    source="Bhatt et al. 2020, of the positive attribution, divided by ln(H·W)",
)


@register_metric(_ENTROPY, recommended=True)
def _score_positive_entropy(batch: Batch) -> Scored:
    return _scored(batch.maps.clamp_min(0), batch, normalised_entropy)


@register_metric(
    _ENTROPY.variant("absolute", source="Bhatt et al. 2020, of the absolute attribution, divided by ln(H·W)")
)
def _score_absolute_entropy(batch: Batch) -> Scored:
    return _scored(batch.maps.abs(), batch, normalised_entropy)
