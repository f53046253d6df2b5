"""A metric: this file, as `metrics/complexity/peak_share.py`."""

from __future__ import annotations

import torch
from torch import Tensor

from bcos_eval.contract.metric import Batch, MetricInfo, Scored, register_metric, unknown_chance
from bcos_eval.contract.statuses import Status, is_zero, map_statuses


def peak_share(maps: Tensor) -> Tensor:
    """Return the share of the positive attribution that lies in its largest pixel, `(B, K)`; NaN without any."""
    positive = maps.clamp(min=0).flatten(2)
    return positive.amax(-1) / positive.sum(-1)


INFO = MetricInfo(
    name="peak_share",
    preset="default",
    stimulus="single",
    direction="higher",
    low=0,
    high=1,
    chance=None,
    source="an example",
)


@register_metric(INFO, recommended=True)
def score_peak_share(batch: Batch) -> Scored:
    """Score the maps of a batch."""
    values = peak_share(batch.maps)
    conditions = {Status.ZERO_MAP: is_zero(batch.maps), Status.NONFINITE: torch.isnan(values)}
    return Scored(values, map_statuses(batch.maps, conditions), unknown_chance(values))
