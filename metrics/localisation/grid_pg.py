"""Grid pointing game: how much of a class's positive attribution falls on its own cell of a grid of images.

The presets score by one formula. They differ in how the grids are drawn (`rule`, which the engine reads), in how
the network is shown them (`view`), in the smoothing and in what counts as a map without positive mass. Their
numbers do not compare.

Which preset a network gets: one that takes images of any size the recommended one, `bcos_v2`. That includes the
SimpleViTs and ViT-Cs of B-cos v2, whose position codes follow from the size of the feature map. A transformer with
learned position codes, or any other network that takes its native size only, gets `rescaled`,
`bcosification_strided` or `aloe_strided`.
"""

from __future__ import annotations

from typing import Literal

from torch import Tensor

from bcos_eval.contract.metric import Batch, MetricInfo, Scored, View, register_metric
from bcos_eval.contract.params import OddSide, Param
from bcos_eval.errors import InputError

from .positive_energy import mass_of_smoothed, no_mass, positive_share, rao_no_mass, score_positive_share
from .region_scores import mask_undefined, scored_in_region
from .smoothing import gaussian_smooth, smooth

DEFAULT_CELLS_PER_SIDE = 3
# The strided presets' configurations, and the side that divides all common image sizes.
FEW_CELLS_PER_SIDE = 2
# B-cosification's configuration `500_2x2-stride=112`.
BCOSIFICATION_SMOOTHING = 15
# How-to-probe: average pooling for most methods, a Gaussian for input × gradient; guard of the division.
HOW_TO_PROBE_SMOOTHING = 5
HOW_TO_PROBE_GAUSSIAN = (129, 32.25)
HOW_TO_PROBE_EPSILON = 1e-12

_AVERAGE, _GAUSSIAN = "average", "gaussian"

_BCOS_SOURCE = "Böhle et al. 2022, B-cos networks; B-cos-v2@9a849c9 localisation.py"
_RAO_SOURCE = "Rao et al. 2022; Attribution-Evaluation@15f9118 evaluation/localization.py"
_HOW_TO_PROBE_SOURCE = "Gairola et al. 2025; how-to-probe@e703756 evaluate_attributions/gridpg"
_BCOSIFICATION_SOURCE = "Arya et al. 2024, B-cosification; B-cosification@de03a03"
_ALOE_SOURCE = "Maser et al. 2026, ALOE; ALOE@5bb8169 src/explainability/grid_score"
_FIXED_SIZE = "for networks that take images of their native size only"


def grid_pointing_game(maps: Tensor, regions: Tensor, smoothing: int = 1) -> Tensor:
    """Share of the positive attribution that falls inside the cell of its target.

    Args:
        maps: Signed attributions `(B, K, H, W)`, any scale.
        regions: True inside the target's cell, `(B, K, H, W)` bool.
        smoothing: Odd side in pixels of the average pooling of the signed map, before negative entries are
            dropped; 1 for none.

    Returns:
        Scores `(B, K)`, float64 in [0, 1], higher is better. A uniform map scores the cell's share of the
        area (unless smoothed: zeros beyond the border move mass inward), a map without positive entries 0, a map
        with NaN or infinity NaN, and so does an empty region.

    Raises:
        ValueError: If the shapes differ or the smoothing is even.

    Example:
        >>> import torch
        >>> cells = torch.zeros(1, 1, 2, 2, dtype=torch.bool)
        >>> cells[..., 0, 0] = True
        >>> grid_pointing_game(torch.tensor([[[[3.0, -5.0], [0.0, 1.0]]]]), cells)
        tensor([[0.7500]], dtype=torch.float64)
    """
    return positive_share(maps, regions, smoothing=smoothing)


def _info(
    preset: str,
    source: str,
    *,
    n: int = DEFAULT_CELLS_PER_SIDE,
    rule: str = "",
    view: View = "plain",
    note: str = "",
    **params: Param,
) -> MetricInfo:
    return MetricInfo(
        name="grid_pg",
        preset=preset,
        stimulus="grid",
        direction="higher",
        low=0.0,
        high=1.0,
        chance="area",
        source=source,
        defaults={"n": n, "smoothing": 1, **params, "rule": rule or preset},
        view=view,
        note=note,
        headline=True,
    )


@register_metric(
    _info("bcos_v2", _BCOS_SOURCE, note="for networks that take images of any size, the ViTs of B-cos v2 too"),
    recommended=True,
)
@register_metric(_info("bcos_v2_blockwise", _BCOS_SOURCE))
@register_metric(
    _info(
        "rescaled",
        f"{_BCOS_SOURCE}, suffix _rescale; full native size and images rated at theirs",
        n=FEW_CELLS_PER_SIDE,
        rule="bcos_v2",
        view="rescaled",
        note=_FIXED_SIZE,
    )
)
@register_metric(
    _info(
        "bcosification_strided",
        _BCOSIFICATION_SOURCE,
        n=FEW_CELLS_PER_SIDE,
        rule="bcos_v2",
        view="strided_padded",
        note=_FIXED_SIZE,
        smoothing=BCOSIFICATION_SMOOTHING,
    )
)
def _score_bcos(batch: Batch, *, smoothing: OddSide, **_stimulus: Param) -> Scored:
    return score_positive_share(batch, smoothing=smoothing)


@register_metric(_info("rao2022", _RAO_SOURCE))
@register_metric(
    _info(
        "aloe_strided",
        _ALOE_SOURCE,
        n=FEW_CELLS_PER_SIDE,
        rule="aloe",
        view="strided",
        note=_FIXED_SIZE,
    )
)
def _score_rao(batch: Batch, *, smoothing: OddSide, **_stimulus: Param) -> Scored:
    return score_positive_share(batch, smoothing=smoothing, has_no_mass=rao_no_mass)


@register_metric(
    _info(
        "how_to_probe",
        _HOW_TO_PROBE_SOURCE,
        note="its authors smooth maps of ixg with filter=gaussian",
        smoothing=HOW_TO_PROBE_SMOOTHING,
        filter=_AVERAGE,
    )
)
def _score_how_to_probe(
    batch: Batch, *, smoothing: OddSide, filter: Literal["average", "gaussian"], **_stimulus: Param
) -> Scored:
    inside, total = mass_of_smoothed(_how_to_probe_smoothed(batch.maps, filter, smoothing), batch.regions)
    values = mask_undefined(inside / (total + HOW_TO_PROBE_EPSILON), batch.maps, batch.regions)
    return scored_in_region(values, batch, zero_map=no_mass(total))


def _how_to_probe_smoothed(maps: Tensor, name: str, smoothing: int) -> Tensor:
    """Smooth signed maps by one of the two filters; `smoothing` is the side of the average pooling."""
    if name == _AVERAGE:
        return smooth(maps, smoothing)
    if name == _GAUSSIAN:
        return gaussian_smooth(maps, *HOW_TO_PROBE_GAUSSIAN)
    raise InputError(f"grid_pg.filter={name} is not allowed; use {_AVERAGE} or {_GAUSSIAN}.")
