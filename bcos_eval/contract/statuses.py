"""How far the score of a unit can be trusted, and which maps have no plain score.

All functions of maps return one entry per map, `(B, K)`.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum

import torch
from torch import Tensor


class Status(StrEnum):
    """How far the score of a unit can be trusted.

    A metric's docstring says what it scores a map of each status; NaN where nothing is said.
    """

    OK = "ok"
    ZERO_MAP = "zero_map"
    CONSTANT_MAP = "constant_map"
    NONFINITE = "nonfinite"
    EMPTY_REGION = "empty_region"
    SKIPPED = "skipped"
    FAILED = "failed"


# Where several apply, the first one is what a reader should repair first.
_PRECEDENCE = (
    Status.FAILED,
    Status.SKIPPED,
    Status.NONFINITE,
    Status.EMPTY_REGION,
    Status.ZERO_MAP,
    Status.CONSTANT_MAP,
)

Statuses = tuple[tuple[Status, ...], ...]


def is_nonfinite(maps: Tensor) -> Tensor:
    """Return True where a map `(B, K, H, W)` contains NaN or infinity."""
    return ~maps.isfinite().flatten(2).all(-1)


def is_zero(maps: Tensor) -> Tensor:
    """Return True where every entry of a map `(B, K, H, W)` is 0."""
    return (maps == 0).flatten(2).all(-1)


def is_constant(maps: Tensor) -> Tensor:
    """Return True where all entries of a map `(B, K, H, W)` are equal."""
    return (maps == maps[..., :1, :1]).flatten(2).all(-1)


def is_empty(regions: Tensor) -> Tensor:
    """Return True where a region `(B, K, H, W)` has no pixel."""
    return ~regions.flatten(2).any(-1)


def area_share(regions: Tensor) -> Tensor:
    """Return the share of the pixels inside each region, float64 in (0, 1], NaN for an empty one."""
    share = regions.flatten(2).double().mean(-1)
    return share.masked_fill(share == 0, torch.nan)


def map_statuses(maps: Tensor, conditions: Mapping[Status, Tensor]) -> Statuses:
    """Return the status of each unit.

    Args:
        maps: Attributions `(B, K, H, W)`; non-finite and constant ones are found here.
        conditions: For each further status, True where it holds, `(B, K)` bool; overrides what was found.

    Returns:
        B tuples of K statuses; `ok` where nothing holds.
    """
    found = {Status.NONFINITE: is_nonfinite(maps), Status.CONSTANT_MAP: is_constant(maps), **conditions}
    codes = torch.full(maps.shape[:2], -1, device=maps.device)
    for code, status in reversed(list(enumerate(_PRECEDENCE))):
        if status in found:
            codes = codes.masked_fill(found[status], code)
    return tuple(tuple(Status.OK if code < 0 else _PRECEDENCE[code] for code in row) for row in codes.tolist())
