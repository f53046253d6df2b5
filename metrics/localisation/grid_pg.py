"""Grid pointing game: how much of a class's positive attribution falls on its own cell of a grid of images.

The presets score by one formula. They differ in how the grids are drawn (`rule`, which the engine reads), in how
the network is shown them (`view`), in the smoothing and in what counts as a map without positive mass. Their
numbers do not compare.

Which preset a network gets: one that takes images of any size the recommended one, `bcos_v2`. That includes the
SimpleViTs and ViT-Cs of B-cos v2, whose position codes follow from the size of the feature map. A transformer with
learned position codes, or any other network that takes its native size only, gets `rescaled`,
`bcosification_strided` or `aloe_strided`.

DiFull and DiPart are the same game with an answer that is known: the network is cut to the target's cell, all of
it (`difull`: a faithful attribution scores exactly 1) or its classifier alone (`dipart`: receptive fields cross
the borders of cells, so nearly 1). Only the top left and the bottom right cell of each grid are explained.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Literal

from torch import Tensor

from bcos_eval.contract.metric import Batch, MetricInfo, Scored, register_metric
from bcos_eval.contract.params import OddSide, Param

from .region_scores import (
    gaussian_smooth,
    mask_undefined,
    mass_of_smoothed,
    no_mass,
    positive_share,
    rao_no_mass,
    score_positive_share,
    scored_in_region,
    smooth,
)

DEFAULT_CELLS_PER_SIDE = 3
# The strided presets' configurations, and the side that divides all common image sizes.
FEW_CELLS_PER_SIDE = 2
# B-cosification's configuration `500_2x2-stride=112`.
BCOSIFICATION_SMOOTHING = 15
# How-to-probe: average pooling for most methods, a Gaussian for input × gradient; guard of the division.
HOW_TO_PROBE_SMOOTHING = 5
HOW_TO_PROBE_GAUSSIAN = (129, 32.25)
HOW_TO_PROBE_EPSILON = 1e-12

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


_BCOS_V2 = MetricInfo(
    name="grid_pg",
    preset="bcos_v2",
    stimulus="grid",
    direction="higher",
    low=0.0,
    high=1.0,
    chance="area",
    source=_BCOS_SOURCE,
    defaults={"n": DEFAULT_CELLS_PER_SIDE, "smoothing": 1, "rule": "bcos_v2"},
    note="for networks that take images of any size, the ViTs of B-cos v2 too",
    headline=True,
)
_OTHER = replace(_BCOS_V2, headline=False, note="")
_BLOCKWISE = _OTHER.variant("bcos_v2_blockwise", defaults={**_OTHER.defaults, "rule": "bcos_v2_blockwise"})
_SMALL = replace(_OTHER, defaults={**_OTHER.defaults, "n": FEW_CELLS_PER_SIDE}, note=_FIXED_SIZE)
_RESCALED = _SMALL.variant(
    "rescaled",
    source=f"{_BCOS_SOURCE}, suffix _rescale; full native size and images rated at theirs",
    view="rescaled",
)
_BCOSIFICATION = _SMALL.variant(
    "bcosification_strided",
    source=_BCOSIFICATION_SOURCE,
    view="strided_padded",
    defaults={**_SMALL.defaults, "smoothing": BCOSIFICATION_SMOOTHING},
)
_RAO = _OTHER.variant("rao2022", source=_RAO_SOURCE, defaults={**_OTHER.defaults, "rule": "rao2022"})
_ALOE = _SMALL.variant(
    "aloe_strided", source=_ALOE_SOURCE, view="strided", defaults={**_SMALL.defaults, "rule": "aloe"}
)
_HOW_TO_PROBE = _OTHER.variant(
    "how_to_probe",
    source=_HOW_TO_PROBE_SOURCE,
    note="its authors smooth maps of ixg with filter=gaussian",
    defaults={
        **_OTHER.defaults,
        "smoothing": HOW_TO_PROBE_SMOOTHING,
        "filter": "average",
        "rule": "how_to_probe",
    },
)
_DISCONNECTED = replace(
    _RAO,
    source="Rao et al. 2022, section 3.2; Attribution-Evaluation@15f9118 evaluation/localization.py",
    note="rule=rao2022_repeat_corners: both explained cells show one class",
)


@register_metric(_BCOS_V2, recommended=True)
@register_metric(_BLOCKWISE)
@register_metric(_RESCALED)
@register_metric(_BCOSIFICATION)
def _score_bcos(batch: Batch, *, smoothing: OddSide, **_stimulus: Param) -> Scored:
    return score_positive_share(batch, smoothing=smoothing)


@register_metric(_RAO)
@register_metric(_ALOE)
@register_metric(replace(_DISCONNECTED, name="difull", view="difull"), recommended=True)
@register_metric(replace(_DISCONNECTED, name="dipart", view="dipart"), recommended=True)
def _score_rao(batch: Batch, *, smoothing: OddSide, **_stimulus: Param) -> Scored:
    """Score the share of positive mass in the cell; a map without any scores 0 with status `zero_map`."""
    return score_positive_share(batch, smoothing=smoothing, has_no_mass=rao_no_mass)


@register_metric(_HOW_TO_PROBE)
def _score_how_to_probe(
    batch: Batch, *, smoothing: OddSide, filter: Literal["average", "gaussian"], **_stimulus: Param
) -> Scored:
    if filter == "average":
        smoothed = smooth(batch.maps, smoothing)
    else:
        smoothed = gaussian_smooth(batch.maps, *HOW_TO_PROBE_GAUSSIAN)
    inside, total = mass_of_smoothed(smoothed, batch.regions)
    values = mask_undefined(inside / (total + HOW_TO_PROBE_EPSILON), batch.maps, batch.regions)
    return scored_in_region(values, batch, zero_map=no_mass(total))
