"""What all scores that compare a map with a region share: where they are undefined, status, chance level."""

from __future__ import annotations

import torch
from torch import Tensor

from bcos_eval.contract.metric import Batch, Scored
from bcos_eval.contract.statuses import Status, area_share, is_empty, is_nonfinite, map_statuses


def mask_undefined(values: Tensor, maps: Tensor, regions: Tensor) -> Tensor:
    """Return the values `(B, K)` with NaN where the map is not finite or the region is empty."""
    undefined = is_nonfinite(maps) | is_empty(regions).to(maps.device)
    return values.masked_fill(undefined.to(values.device), torch.nan)


def scored_in_region(
    values: Tensor,
    batch: Batch,
    *,
    zero_map: Tensor,
    skipped: Tensor | None = None,
    chance: Tensor | None = None,
) -> Scored:
    """Return localisation scores with status and chance level.

    Args:
        values: Scores `(B, K)`.
        batch: What they were computed from.
        zero_map: True where the status is `zero_map`, `(B, K)` bool.
        skipped: True where the status is `skipped`, `(B, K)` bool; nowhere if not given.
        chance: Chance levels `(B, K)`; the region's share of the area if not given.
    """
    conditions = {Status.ZERO_MAP: zero_map, Status.EMPTY_REGION: is_empty(batch.regions)}
    if skipped is not None:
        conditions[Status.SKIPPED] = skipped
    expected = area_share(batch.regions) if chance is None else chance
    return Scored(values.cpu(), map_statuses(batch.maps, conditions), expected.cpu())
