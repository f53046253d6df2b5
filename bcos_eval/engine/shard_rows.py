"""Scored stimuli as the rows of a shard."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import pandas as pd

from bcos_eval.contract.plugins import find_metric
from bcos_eval.stimuli.source import Unreadable
from bcos_eval.store.rows import CURVE_SCHEMA, UNIT_COLUMNS
from bcos_eval.store.shards import ShardFacts, StoredShard

from .plan import Shard
from .scoring import ScoredStimulus

_SKIPPED = "skipped"


def shard_of_rows(shard: Shard, entries: Sequence[ScoredStimulus | Unreadable], position: int) -> StoredShard:
    """Return a shard as it is stored.

    Args:
        shard: Which one.
        entries: Its stimuli in order; an unreadable image gets a row with status `skipped` and no score.
        position: Place of the shard's metric among the scores of each stimulus.
    """
    rows = [row for entry in entries for row in _rows(shard, entry, position)]
    curves = [row for entry in entries for row in _curve_rows(entry, position)]
    chance = tuple(row.pop("chance") for row in rows)
    facts = ShardFacts(
        address=shard.address,
        direction=find_metric(shard.cell.metric.name).info.direction,
        first=shard.first,
        stop=shard.stop,
        key=shard.cell.key,
    )
    return StoredShard(
        facts=facts,
        units=pd.DataFrame(rows, columns=list(UNIT_COLUMNS)),
        chance=chance,
        curves=pd.DataFrame(curves, columns=CURVE_SCHEMA.names) if curves else None,
    )


def _labels(shard: Shard) -> dict[str, str]:
    cell = shard.cell
    metric, _, preset = cell.metric.label.partition("/")
    return {
        "dataset": cell.key["dataset"]["name"],
        "model": cell.model,
        "weights": cell.key["model"]["weights"],
        "method": cell.method.label,
        "metric": metric,
        "preset": preset + cell.kind.pool_suffix,
    }


def _rows(shard: Shard, entry: ScoredStimulus | Unreadable, position: int) -> Iterator[dict[str, Any]]:
    labels = _labels(shard)
    if isinstance(entry, Unreadable):
        yield {
            **labels,
            "sample_id": entry.sample_id,
            "stimulus": entry.stimulus_id or f"single/{entry.sample_id}",
            "target": entry.label,
            "unit": 0,
            "score": float("nan"),
            "status": _SKIPPED,
            "seconds": float("nan"),
            "chance": float("nan"),
        }
        return
    scores = entry.scores[position]
    for unit, target in enumerate(entry.stimulus.targets.tolist()):
        yield {
            **labels,
            "sample_id": entry.stimulus.sample_ids[unit],
            "stimulus": entry.stimulus.stimulus_id,
            "target": target,
            "unit": unit,
            "score": scores.values[unit],
            "status": scores.status[unit],
            "seconds": entry.seconds,
            "chance": scores.chance[unit],
        }


def _curve_rows(entry: ScoredStimulus | Unreadable, position: int) -> Iterator[dict[str, Any]]:
    if isinstance(entry, Unreadable) or (curves := entry.scores[position].curves) is None:
        return
    for unit, target in enumerate(entry.stimulus.targets.tolist()):
        yield {
            "stimulus": entry.stimulus.stimulus_id,
            "target": target,
            "unit": unit,
            "curve": curves[unit].tolist(),
        }
