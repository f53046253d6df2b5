"""The share of an attribution's mass that lies in a region: energy pointing game, Focus, relevance mass."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from bcos_eval.contract.exactness import in_float64
from bcos_eval.contract.metric import Batch, MetricInfo, Scored, register_metric
from bcos_eval.contract.params import OddSide
from bcos_eval.contract.shapes import require_matching
from bcos_eval.contract.statuses import is_zero

from .region_scores import (
    mask_undefined,
    no_mass,
    positive_mass,
    positive_share,
    score_positive_share,
    scored_in_region,
)

# Model-Guidance scores maps whose positive sum is below this as 0.
MODEL_GUIDANCE_ZERO_MASS = 1e-7
# How-to-probe: smoothing before negative entries are dropped, guard of the division, rounding of every unit.
HOW_TO_PROBE_SMOOTHING = 5
HOW_TO_PROBE_EPSILON = 1e-12
HOW_TO_PROBE_DECIMALS = 2


def energy_pointing_game(maps: Tensor, regions: Tensor, smoothing: int = 1) -> Tensor:
    """Share of the positive attribution that falls inside the object's region.

    Args:
        maps: Signed attributions `(B, K, H, W)`, any scale.
        regions: True on the object, `(B, K, H, W)` bool.
        smoothing: Odd side in pixels of the average pooling of the signed map; 1 for none.

    Returns:
        Scores `(B, K)`, float64 in [0, 1], higher is better. A uniform map scores the region's share of the
        area, a map without positive entries 0, a map with NaN or infinity NaN, and so does an empty region.

    Raises:
        ValueError: If the shapes differ or the smoothing is even.

    Example:
        >>> import torch
        >>> box = torch.tensor([[[[True, True], [False, False]]]])
        >>> energy_pointing_game(torch.tensor([[[[3.0, -5.0], [0.0, 1.0]]]]), box)
        tensor([[0.7500]], dtype=torch.float64)
    """
    return positive_share(maps, regions, smoothing=smoothing)


def focus_score(maps: Tensor, regions: Tensor) -> Tensor:
    """Share of the positive attribution that falls on the target's two cells of a 2×2 mosaic.

    Args:
        maps: Signed attributions `(B, K, H, W)`, any scale.
        regions: True on the cells of the target's class, `(B, K, H, W)` bool.

    Returns:
        Scores `(B, K)`, float64 in [0, 1], higher is better; chance is ½. A map without positive entries scores
        0, a map with NaN or infinity NaN, and so does an empty region. Quantus adds 1e-9 to the sum, which would
        make the score depend on the scale of the map.

    Raises:
        ValueError: If the shapes differ.

    Source: Arias-Duart et al., Focus! Rating XAI Methods and Finding Biases (FUZZ-IEEE 2022), section III.
    """
    return positive_share(maps, regions)


def relevance_mass_accuracy(maps: Tensor, regions: Tensor) -> Tensor:
    """Sum of the attribution inside the region over the sum of all of it, negative entries included.

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


_ENERGY = MetricInfo(
    name="energy_pg",
    preset="default",
    stimulus="single",
    direction="higher",
    low=0.0,
    high=1.0,
    chance="area",
    source="Wang et al. 2020, Score-CAM; neither smoothed nor rounded",
    defaults={"smoothing": 1},
    headline=True,
)


@register_metric(_ENERGY, recommended=True)
def _score_energy(batch: Batch, *, smoothing: OddSide) -> Scored:
    return score_positive_share(batch, smoothing=smoothing)


@register_metric(
    _ENERGY.variant(
        "model_guidance",
        source="Rao et al. 2023; Model-Guidance@3a6e034 metrics.py",
        defaults={},
        headline=False,
    )
)
def _score_model_guidance(batch: Batch) -> Scored:
    return score_positive_share(batch, has_no_mass=lambda total: total < MODEL_GUIDANCE_ZERO_MASS)


@register_metric(
    _ENERGY.variant(
        "how_to_probe",
        source="Gairola et al. 2025; how-to-probe@e703756, smoothing of all but IxG",
        defaults={},
        headline=False,
    )
)
def _score_how_to_probe(batch: Batch) -> Scored:
    inside, total = positive_mass(batch.maps, batch.regions, smoothing=HOW_TO_PROBE_SMOOTHING)
    shares = (inside / (total + HOW_TO_PROBE_EPSILON)).round(decimals=HOW_TO_PROBE_DECIMALS)
    values = mask_undefined(shares, batch.maps, batch.regions)
    return scored_in_region(values, batch, zero_map=no_mass(total))


@register_metric(
    MetricInfo(
        name="focus",
        preset="default",
        stimulus="mosaic",
        direction="higher",
        low=0.0,
        high=1.0,
        chance="area",
        source="Arias-Duart et al. 2022; as in Quantus, without its constant",
    ),
    recommended=True,
)
def _score_focus(batch: Batch) -> Scored:
    return score_positive_share(batch)


_ABSOLUTE_MASS = MetricInfo(
    name="relevance_mass",
    preset="absolute",
    stimulus="single",
    direction="higher",
    low=0.0,
    high=1.0,
    chance="area",
    source="Kohlbrenner et al. 2020, attribution localisation, of |a|",
)
_SIGNED_MASS = _ABSOLUTE_MASS.variant(
    "signed",
    low=-math.inf,
    high=math.inf,
    source="Arras et al. 2022, CLEVR-XAI, on the signed map",
    note="a sum near 0 in the denominator: unbounded, read its median",
)


# The share of the positive entries alone is the energy pointing game.
@register_metric(_ABSOLUTE_MASS, recommended=True)
def _score_absolute_mass(batch: Batch) -> Scored:
    values = relevance_mass_accuracy(batch.maps.abs(), batch.regions)
    return scored_in_region(values, batch, zero_map=is_zero(batch.maps))


@register_metric(_SIGNED_MASS)
def _score_signed_mass(batch: Batch) -> Scored:
    """Score the signed ratio; a map that sums to 0 has none, NaN, with status `zero_map`."""
    values = relevance_mass_accuracy(batch.maps, batch.regions)
    return scored_in_region(values, batch, zero_map=batch.maps.flatten(2).sum(-1) == 0)
