"""Grid pointing game: how much of a class's positive attribution falls on its own cell of a grid of images.

The presets score by one formula. They differ in how the grids are drawn (`pool`, which the engine reads) and
in what counts as a map without positive mass.
"""

from __future__ import annotations

from torch import Tensor

from .positive_energy import positive_share, score_positive_share
from .registry import Batch, MetricInfo, Param, Scored, register_metric

# Rao et al. score maps whose positive sum does not exceed this as 0.
RAO_ZERO_MASS = 1e-7
DEFAULT_CELLS_PER_SIDE = 3

_BCOS_SOURCE = "Böhle et al. 2022, B-cos networks; B-cos-v2@9a849c9 localisation.py"
_RAO_SOURCE = "Rao et al. 2022; Attribution-Evaluation@15f9118 evaluation/localization.py"


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


def _info(preset: str, source: str) -> MetricInfo:
    return MetricInfo(
        name="grid_pg",
        preset=preset,
        stimulus="grid",
        needs_predict=False,
        direction="higher",
        low=0.0,
        high=1.0,
        chance="area",
        source=source,
        defaults={"n": DEFAULT_CELLS_PER_SIDE, "smoothing": 1, "pool": preset},
    )


@register_metric(_info("bcos_v2", _BCOS_SOURCE), recommended=True)
@register_metric(_info("bcos_v2_blockwise", _BCOS_SOURCE))
def _score_bcos(batch: Batch, *, smoothing: int, **_stimulus: Param) -> Scored:
    return score_positive_share(batch, smoothing=smoothing)


@register_metric(_info("rao2022", _RAO_SOURCE))
def _score_rao(batch: Batch, *, smoothing: int, **_stimulus: Param) -> Scored:
    return score_positive_share(batch, smoothing=smoothing, has_no_mass=_rao_has_no_mass)


def _rao_has_no_mass(total: Tensor) -> Tensor:
    return total <= RAO_ZERO_MASS
