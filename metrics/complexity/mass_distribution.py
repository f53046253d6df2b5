"""What scores of the spread of a map's mass share; they know neither model nor region."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from bcos_eval.contract.metric import Batch, Scored
from bcos_eval.contract.statuses import Status, is_nonfinite, is_zero, map_statuses


def scored_distribution(masses: Tensor, batch: Batch, score_of: Callable[[Tensor], Tensor]) -> Scored:
    """Score non-negative masses; a map of which nothing is left scores NaN and has status `zero_map`.

    Args:
        masses: What the preset takes from the maps, `(B, K, H, W)`, at least 0.
        batch: The maps as they came.
        score_of: Maps masses to scores `(B, K)`.
    """
    undefined = is_nonfinite(batch.maps)
    values = score_of(masses).masked_fill(undefined, torch.nan).cpu()
    return Scored(
        values,
        map_statuses(batch.maps, {Status.ZERO_MAP: is_zero(masses)}),
        torch.full_like(values, torch.nan),
    )
