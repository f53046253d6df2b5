"""Metrics judged by a known answer: whether they put ever noisier maps of one explainer in their order.

The maps are those of the explainer `degraded` at several values of `noise`, and of the explainer they are made of.
Of two maps of one image the one with less noise is the better one, whatever the explainer is worth.
"""

from __future__ import annotations

import itertools
import operator
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import cast

import numpy as np
import pandas as pd

from bcos_eval.reports.tables.table import ARROWS, FEW_STIMULI, Row, markdown, metric_name, number, told_apart
from bcos_eval.statistics.intervals import mean_interval
from bcos_eval.statistics.resampling import Floats
from bcos_eval.store.facts import ShardFacts
from bcos_eval.store.shards import StoredShard

from .unit_matrix import UNIT_KEY, comparable_units, named_apart

# The registered name of the explainer that makes maps worse.
DEGRADED = "degraded"
# With two levels an order can only be right or wrong.
FEWEST_LEVELS = 3

_METRIC = ("dataset", "metric", "preset", "pool")
_GROUP = ["dataset", "model", "weights", "of", "metric", "preset", "pool"]

LEGEND = """\
Known order: Kendall's τ of score and quality among maps of one image with more and more noise, ties counting
as 0, averaged over units; 1 where less noise always scores better, 0 where scores say nothing of it. Whole order:
the share of units all of whose maps are in order. * fewer than 30 stimuli.
"""


@dataclass(frozen=True, slots=True)
class Recovery:
    """How far a metric recovers the known order of quality.

    Attributes:
        dataset: Name of the dataset.
        model: The model, as tables call it.
        of: The explainer whose maps were made worse.
        metric: The metric with its preset and the direction of its scores.
        levels: Shares of noise, ascending.
        n_units: Number of units scored at every level.
        n_stimuli: Number of their stimuli.
        tau: Mean over units of Kendall's τ (τ_a), in [−1, 1].
        ci_low: Lower end of its 95 % interval over stimuli, NaN without one.
        ci_high: Upper end.
        whole: Share of units all of whose levels are in order.
    """

    dataset: str
    model: str
    of: str
    metric: str
    levels: tuple[float, ...]
    n_units: int
    n_stimuli: int
    tau: float
    ci_low: float
    ci_high: float
    whole: float


def recoveries(shards: Iterable[StoredShard]) -> list[Recovery]:
    """Return how far each metric recovers the order of ever noisier maps; empty where none are stored.

    Units that are not scored at every level, or not with a number, are left out.
    """
    kept = list(shards)
    levels = {shard.facts.address.cell: _level(shard.facts) for shard in kept}
    spoilt = {_level(shard.facts)[0] for shard in kept if shard.facts.method.name == DEGRADED}
    if not spoilt:
        return []
    units = named_apart(comparable_units(kept))
    of, noise = ([levels[cell][part] for cell in units["cell"]] for part in (0, 1))
    units = units.assign(of=of, noise=noise)
    units = units[units["of"].isin(spoilt)]
    labels = _metric_labels(units)
    found = (_recovery(rows, labels) for _, rows in units.groupby(_GROUP, sort=True))
    return [recovery for recovery in found if recovery is not None]


def recovery_rows(recovered: Iterable[Recovery]) -> Iterator[dict[str, object]]:
    """Yield rows beside those of pairs of rankings: the metric and the known order."""
    for one in recovered:
        yield {
            "dataset": one.dataset,
            "of": one.model,
            "a": one.metric,
            "b": f"known order of {one.of}",
            "n_methods": len(one.levels),
            "spearman": np.nan,
            "kendall": one.tau,
        }


def recoveries_text(recovered: Sequence[Recovery]) -> str:
    """Return tables in Markdown, one for each dataset, model and explainer."""
    sections = []
    of_table = operator.attrgetter("dataset", "model", "of")
    for (dataset, model, of), group in itertools.groupby(recovered, key=of_table):
        rows = sorted(group, key=lambda one: -one.tau)
        columns = {
            "metric": [one.metric for one in rows],
            "known order τ": [_tau_text(one) for one in rows],
            "whole order": [f"{one.whole:.0%}" for one in rows],
            "units": [str(one.n_units) for one in rows],
            "noise": [", ".join(f"{level:g}" for level in one.levels) for one in rows],
        }
        table = markdown(columns, numeric={"known order τ", "whole order", "units"})
        sections.append(f"### {dataset}, {model}: maps of {of} made worse in steps\n\n{table}")
    return "\n".join([*sections, LEGEND])


def _level(facts: ShardFacts) -> tuple[str, float]:
    """Return whose maps a cell scored, and the share of noise in them."""
    if facts.method.name != DEGRADED:
        return (facts.method.name if not facts.method.settings else facts.method.label), 0.0
    params = {**facts.key.get("method", {}).get("params", {}), **dict(facts.method.settings)}
    return str(params["of"]), float(params["noise"])


def _metric_labels(units: pd.DataFrame) -> dict[tuple[str, ...], str]:
    """Return what metrics are called, by `_METRIC`."""
    rows = cast("list[Row]", units[[*_METRIC, "direction"]].drop_duplicates().to_dict("records"))
    named = (f"{metric_name(row)} {ARROWS[row['direction']]}" for row in told_apart(rows))
    return {tuple(str(row[key]) for key in _METRIC): name for row, name in zip(rows, named, strict=True)}


def _recovery(units: pd.DataFrame, labels: Mapping[tuple[str, ...], str]) -> Recovery | None:
    # Noise 0 may be stored twice: as the explainer and as its spoilt maps, which are the same.
    table = units.pivot_table(index=list(UNIT_KEY), columns="noise", values="score", aggfunc="first")
    if table.shape[1] < FEWEST_LEVELS:
        return None
    scores = table.to_numpy(np.float64)
    is_whole = np.isfinite(scores).all(1)
    if not is_whole.any():
        return None
    first = units.iloc[0]
    worse = -scores[is_whole] if first["direction"] == "higher" else scores[is_whole]
    taus, in_order = _order(worse)
    stimuli = table.index.get_level_values("stimulus").to_numpy()[is_whole]
    low, high = mean_interval(taus, stimuli, low=-1, high=1)
    return Recovery(
        dataset=str(first["dataset"]),
        model=str(first["model"]),
        of=str(first["of"]),
        metric=labels[tuple(str(first[key]) for key in _METRIC)],
        levels=tuple(float(level) for level in table.columns),
        n_units=len(taus),
        n_stimuli=len(np.unique(stimuli)),
        tau=float(taus.mean()),
        ci_low=low,
        ci_high=high,
        whole=float(in_order.mean()),
    )


def _order(badness: Floats) -> tuple[Floats, Floats]:
    """Return Kendall's τ_a of each row `(N, L)` with its ascending order, and whether each step is one upwards."""
    n_levels = badness.shape[1]
    pairs = itertools.combinations(range(n_levels), 2)
    signs = np.stack([np.sign(badness[:, j] - badness[:, i]) for i, j in pairs], 1)
    is_in_order = (np.diff(badness, axis=1) > 0).all(1)
    return np.asarray(signs.mean(1), dtype=np.float64), np.asarray(is_in_order, dtype=np.float64)


def _tau_text(one: Recovery) -> str:
    few = "*" if one.n_stimuli < FEW_STIMULI else ""
    interval = "" if np.isnan(one.ci_low) else f" [{number(one.ci_low)}, {number(one.ci_high)}]"
    return f"{number(one.tau)}{few}{interval}"
