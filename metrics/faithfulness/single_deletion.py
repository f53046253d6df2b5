"""Single deletion: whether the attribution of a part of the image predicts the logit's drop without it."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from bcos_eval.contract.exactness import in_float64
from bcos_eval.contract.metric import Batch, MetricInfo, Scored, register_metric
from bcos_eval.contract.params import PassSize
from bcos_eval.contract.statuses import Status, is_constant, is_nonfinite, is_zero, map_statuses
from bcos_eval.errors import InputError

from ..ranking import rank_correlation
from .fills import rgb_zero

# IDSDS: 4×4 cells.
CELLS_PER_SIDE = 4
DEFAULT_BATCH_SIZE = 17
CHANCE = 0.0


def cell_sums(maps: Tensor, cells_per_side: int = CELLS_PER_SIDE) -> Tensor:
    """Return the signed sum of each square cell of maps `(B, K, H, W)`, row-major, `(B, K, cells)` float64.

    Raises:
        InputError: If the sides are not multiples of the number of cells.
    """
    height, width = maps.shape[-2:]
    if height % cells_per_side or width % cells_per_side:
        raise InputError(
            f"maps of {height}×{width} do not divide into {cells_per_side}×{cells_per_side} cells; "
            f"give sides that are multiples of {cells_per_side}."
        )
    cells = in_float64(maps).unflatten(-1, (cells_per_side, -1)).unflatten(-3, (cells_per_side, -1))
    return cells.sum((-3, -1)).flatten(-2)  # (B, K, rows, height, columns, width) before the sum


@torch.no_grad()
def logit_drops(batch: Batch, *, batch_size: int, cells_per_side: int = CELLS_PER_SIDE) -> Tensor:
    """Return the target's logit minus its logit without each cell, `(B, K, cells)`, float64, on the CPU.

    A removed cell is 0 in the colour channels (`rgb_zero`). The targets of an image share the forward passes.
    """
    encoded, fill = batch.model.encode(batch.images), rgb_zero(batch.model, batch.images)
    removed = _removed_cells(encoded.shape[-2:], cells_per_side).to(encoded.device)  # (1 + cells, 1, H, W)
    drops = []
    for image, end, targets in zip(encoded, fill, batch.targets.to(encoded.device), strict=True):
        logits = [
            batch.model.logits(torch.where(chunk, end, image))[:, targets].double().cpu()
            for chunk in removed.split(batch_size)
        ]
        whole, without = torch.cat(logits).split([1, cells_per_side**2])
        drops.append((whole - without).T)  # (K, cells)
    return torch.stack(drops)


def _removed_cells(sides: tuple[int, ...], cells_per_side: int) -> Tensor:
    """Return True on the removed pixels: nothing first, then one cell after the other."""
    n_cells = cells_per_side**2
    cells = torch.arange(n_cells).reshape(1, 1, cells_per_side, cells_per_side).double()
    cell_of_pixel = F.interpolate(cells, size=sides, mode="nearest")
    return cell_of_pixel == torch.arange(-1, n_cells)[:, None, None, None]


@register_metric(
    MetricInfo(
        name="single_deletion",
        preset="idsds",
        stimulus="single",
        needs=("model",),
        direction="higher",
        low=-1.0,
        high=1.0,
        chance=CHANCE,
        source="Hesse et al. 2024, IDSDS; idsds@8e84200 single_deletion.py",
        defaults={"batch_size": DEFAULT_BATCH_SIZE},
    ),
    recommended=True,
)
def _score(batch: Batch, *, batch_size: PassSize) -> Scored:
    """Score the rank correlation of cell sums and logit drops over 16 cells.

    With a network fine-tuned on images with missing cells this is IDSDS. Equal sums or equal drops score NaN
    with status `constant_map`; a zero map and a map with NaN or infinity score NaN too.
    """
    sums, undefined = cell_sums(batch.maps).cpu(), is_nonfinite(batch.maps).cpu()
    values = rank_correlation(sums.nan_to_num(), logit_drops(batch, batch_size=batch_size))
    constant = values.isnan() | is_constant(batch.maps).cpu()
    conditions = {Status.ZERO_MAP: is_zero(batch.maps).cpu(), Status.CONSTANT_MAP: constant}
    statuses = map_statuses(batch.maps.cpu(), conditions)
    return Scored(values.masked_fill(undefined | constant, torch.nan), statuses, torch.full_like(values, CHANCE))
