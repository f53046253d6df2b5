"""Energy pointing game: how much of the positive attribution falls on the object."""

from __future__ import annotations

from torch import Tensor

from bcos_eval.contract.metric import Batch, MetricInfo, Scored, register_metric
from bcos_eval.contract.params import OddSide, Param

from .positive_energy import no_mass, positive_mass, positive_share, score_positive_share
from .region_scores import mask_undefined, scored_in_region

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


def _info(preset: str, source: str, **defaults: Param) -> MetricInfo:
    return MetricInfo(
        name="energy_pg",
        preset=preset,
        stimulus="single",
        direction="higher",
        low=0.0,
        high=1.0,
        chance="area",
        source=source,
        defaults=defaults,
        headline=True,
    )


@register_metric(
    _info("default", "Wang et al. 2020, Score-CAM; neither smoothed nor rounded", smoothing=1),
    recommended=True,
)
def _score_default(batch: Batch, *, smoothing: OddSide) -> Scored:
    return score_positive_share(batch, smoothing=smoothing)


@register_metric(_info("model_guidance", "Rao et al. 2023; Model-Guidance@3a6e034 metrics.py"))
def _score_model_guidance(batch: Batch) -> Scored:
    return score_positive_share(batch, has_no_mass=_model_guidance_has_no_mass)


@register_metric(_info("how_to_probe", "Gairola et al. 2025; how-to-probe@e703756, smoothing of all but IxG"))
def _score_how_to_probe(batch: Batch) -> Scored:
    inside, total = positive_mass(batch.maps, batch.regions, smoothing=HOW_TO_PROBE_SMOOTHING)
    shares = (inside / (total + HOW_TO_PROBE_EPSILON)).round(decimals=HOW_TO_PROBE_DECIMALS)
    values = mask_undefined(shares, batch.maps, batch.regions)
    return scored_in_region(values, batch, zero_map=no_mass(total))


def _model_guidance_has_no_mass(total: Tensor) -> Tensor:
    return total < MODEL_GUIDANCE_ZERO_MASS
