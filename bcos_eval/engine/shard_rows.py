"""Scored stimuli as the rows of a shard."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any

from bcos_eval.contract.explainer import Explainer
from bcos_eval.stimuli import Unreadable
from bcos_eval.store.facts import MethodFacts, MetricFacts, ShardFacts
from bcos_eval.store.shards import StoredShard, curve_table, unit_table

from .choice import Choice
from .plan import Cell, Shard
from .scoring import ScoredStimulus


def shard_of_rows(
    shard: Shard, entries: Sequence[ScoredStimulus | Unreadable], position: int, n_looked_at: int | None = None
) -> StoredShard:
    """Return a shard as it is stored.

    Args:
        shard: Which one.
        entries: Its stimuli in order; one that cannot be made gets a row with its status and reason.
        position: Place of the shard's metric among the scores of each stimulus.
        n_looked_at: Number of images looked at to find its stimuli and those before; None if none is left out.
    """
    method, metric = method_facts(shard.cell.method), _metric_facts(shard.cell)
    labels = {
        "dataset": shard.cell.key["dataset"]["name"],
        "model": shard.cell.model,
        "weights": shard.cell.key["model"]["weights"],
        "method": method.label,
        "metric": metric.name,
        "preset": metric.preset_label,
    }
    rows = [{**labels, **row} for entry in entries for row in _rows(entry, position)]
    curves = [row for entry in entries for row in _curve_rows(entry, position)]
    chance = tuple(row.pop("chance") for row in rows)
    return StoredShard(
        facts=ShardFacts(shard.address, method, metric, shard.first, shard.stop, shard.cell.key, n_looked_at),
        table=unit_table(rows),
        chance=chance,
        curves=curve_table(curves) if curves else None,
    )


def method_facts(method: Choice[Explainer]) -> MethodFacts:
    """Return what is stored of an explainer with its parameters."""
    return MethodFacts(method.name, method.settings, is_control=method.entry.info.family == "control")


def _metric_facts(cell: Cell) -> MetricFacts:
    info = cell.metric.entry.info
    return MetricFacts(
        name=info.name,
        preset=info.preset,
        direction=info.direction,
        settings=cell.metric.settings,
        pool=cell.kind.departs(info),
        is_mean_over_classes=info.mean_over_classes,
        low=info.low if math.isfinite(info.low) else None,
        high=info.high if math.isfinite(info.high) else None,
    )


def _rows(entry: ScoredStimulus | Unreadable, position: int) -> Iterator[dict[str, Any]]:
    if isinstance(entry, Unreadable):
        yield {
            "sample_id": entry.sample_id,
            "stimulus": entry.stimulus_id or f"single/{entry.sample_id}",
            "target": entry.label,
            "unit": 0,
            "score": float("nan"),
            "status": str(entry.status),
            "reason": entry.reason,
            "seconds": float("nan"),
            "tied": None,
            "chance": float("nan"),
        }
        return
    scores = entry.scores[position]
    for unit, target in enumerate(entry.stimulus.targets.tolist()):
        yield {
            "sample_id": entry.stimulus.sample_ids[unit],
            "stimulus": entry.stimulus.stimulus_id,
            "target": target,
            "unit": unit,
            "score": scores.values[unit],
            "status": scores.status[unit],
            "reason": scores.reason or None,
            "seconds": entry.seconds,
            "tied": None if scores.tied is None else scores.tied[unit],
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
