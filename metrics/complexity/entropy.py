"""Entropy: how evenly the attribution is spread over the pixels."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from bcos_eval.contract.exactness import in_float64
from bcos_eval.contract.metric import Batch, MetricInfo, Scored, register_metric
from bcos_eval.contract.statuses import is_nonfinite

from .mass_distribution import scored_distribution


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


def _info(preset: str) -> MetricInfo:
    return MetricInfo(
        name="entropy",
        preset=preset,
        stimulus="single",
        direction="lower",
        low=0.0,
        high=1.0,
        chance=None,
        source=f"Bhatt et al. 2020, of the {preset} attribution, divided by ln(H·W)",
    )


@register_metric(_info("positive"), recommended=True)
def _score_positive(batch: Batch) -> Scored:
    return scored_distribution(batch.maps.clamp_min(0), batch, normalised_entropy)


@register_metric(_info("absolute"))
def _score_absolute(batch: Batch) -> Scored:
    return scored_distribution(batch.maps.abs(), batch, normalised_entropy)
