"""Where methods stand: who is best by each metric, who ties with the best, and the mean rank over metrics."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from bcos_eval.errors import InputError
from bcos_eval.reports.tables.selection import contender
from bcos_eval.reports.tables.table import LABEL_COLUMNS, Row
from bcos_eval.statistics.intervals import FEWEST_CLUSTERS, clustered_mean, zero_mean_p
from bcos_eval.statistics.resampling import CONFIDENCE, Floats, resampled_means
from bcos_eval.statistics.significance import holm_adjusted

from .comparison import SIGNIFICANT, unit_differences
from .unit_matrix import Contender, UnitMatrix, unit_matrix

Labels = tuple[str, ...]
# Dataset, model, weights, method.
Who = tuple[str, str, str, str]

TABLE_COLUMNS = ("dataset", "model", "weights", "metric", "preset", "pool")
# Means of equal scores, summed in another order, differ by less: they are ties.
_DIGITS = 12


@dataclass(frozen=True, slots=True)
class MeanRank:
    """The mean of an explainer's ranks over metrics, 1 for the best of its model.

    Attributes:
        rank: Mean over the metrics that it has a mean for. Where some explainers have none, ranks are stretched to
            the number of explainers of the model, so that the metric counts like the others.
        low: Lower end of the range that holds 95 % of the mean ranks when stimuli are drawn again, the metrics
            staying as they are; NaN where a metric has fewer than 8 stimuli.
        high: Upper end.
        n_metrics: Number of metrics.
    """

    rank: float
    low: float
    high: float
    n_metrics: int


@dataclass(frozen=True, slots=True)
class Standings:
    """What the rows of a leaderboard say beside each other.

    Controls are neither best nor ranked: what knows nothing of a network explains nothing, whatever its scores.

    Attributes:
        best: Labels of the rows with the best mean of their model and metric.
        tied: Labels of the rows that cannot be told from the best: a paired test of the mean difference over the
            units both were scored on, corrected by Holm within model and metric, does not reject 0 at 5 %.
        ranks: Mean ranks by dataset, model, weights and method.
        notes: Which ties could not be tested, and why.
    """

    best: frozenset[Labels]
    tied: frozenset[Labels]
    ranks: Mapping[Who, MeanRank]
    notes: tuple[str, ...] = ()


def labels_of(row: Row) -> Labels:
    """Return what identifies a row."""
    return tuple(str(row[column]) for column in LABEL_COLUMNS)


def standings(rows: Sequence[Row], units: pd.DataFrame, *, seed: int = 0) -> Standings:
    """Return where the methods of a leaderboard stand.

    Args:
        rows: Rows of the leaderboard, or some of them.
        units: The units they are made of, from `comparable_units`.
        seed: Seed of the resamples that intervals of ranks rest on.
    """
    best: set[Labels] = set()
    tied: set[Labels] = set()
    notes: list[str] = []
    by_labels = dict(list(units.groupby(list(TABLE_COLUMNS), sort=False)))
    ranked: list[tuple[Sequence[Row], Floats | None]] = []
    for table in _tables(rows):
        leaders = _leaders(table)
        best.update(map(labels_of, leaders))
        first = table[0]
        own = by_labels.get(tuple(first[column] for column in TABLE_COLUMNS))
        matrix = None
        if own is not None and len(table) > 1:
            try:
                matrix = unit_matrix(own, [Contender(row["model"], row["method"]) for row in table])
            except InputError as error:
                notes.append(str(error))
        if matrix is not None and leaders:
            ties = _ties(matrix, table.index(leaders[0]))
            tied.update(labels_of(row) for row, is_tied in zip(table, ties, strict=True) if is_tied)
        ranked.append((table, None if matrix is None else _resampled(matrix, seed)))
    return Standings(frozenset(best), frozenset(tied - best), _mean_ranks(ranked), tuple(dict.fromkeys(notes)))


def _tables(rows: Sequence[Row]) -> Iterator[Sequence[Row]]:
    """Yield the rows of each model and metric that are compared: explainers with a mean."""
    tables: dict[tuple[object, ...], list[Row]] = {}
    for row in rows:
        if not row.get("is_control", False) and not math.isnan(row["mean"]):
            tables.setdefault(tuple(row[column] for column in TABLE_COLUMNS), []).append(row)
    yield from tables.values()


def _leaders(table: Sequence[Row]) -> list[Row]:
    goodness = _goodness(table)
    return [row for row, value in zip(table, goodness, strict=True) if value == goodness.max()]


def _goodness(table: Sequence[Row]) -> Floats:
    """Means turned so that more is better, equal where they differ by rounding."""
    sign = 1 if table[0]["direction"] == "higher" else -1
    return np.array([sign * row["mean"] for row in table], dtype=np.float64).round(_DIGITS)


def _ties(matrix: UnitMatrix, best: int) -> list[bool]:
    """Whether each contender cannot be told from the best; an untestable difference is no difference."""
    others = [column for column in range(len(matrix.contenders)) if column != best]
    adjusted = holm_adjusted(np.array([_paired_p(matrix, best, column) for column in others], dtype=np.float64))
    differs = dict(zip(others, adjusted < SIGNIFICANT, strict=True))
    return [not differs.get(column, False) for column in range(len(matrix.contenders))]


def _paired_p(matrix: UnitMatrix, first: int, second: int) -> float:
    differences = unit_differences(matrix, first, second)
    paired = np.isfinite(differences)
    if not paired.any():
        return math.nan
    groups = None if matrix.groups is None else matrix.groups[paired]
    return zero_mean_p(clustered_mean(differences[paired], matrix.clusters[paired], groups))


def _resampled(matrix: UnitMatrix, seed: int) -> Floats | None:
    """Mean scores `(R, M)` when stimuli are drawn again, the same draws for all metrics; more is better."""
    if len(np.unique(matrix.clusters)) < FEWEST_CLUSTERS:
        return None
    sign = 1 if matrix.direction == "higher" else -1
    return sign * resampled_means(matrix.scores, matrix.clusters, matrix.groups, seed=seed).round(_DIGITS)


def _mean_ranks(tables: Sequence[tuple[Sequence[Row], Floats | None]]) -> dict[Who, MeanRank]:
    by_model: dict[tuple[str, ...], list[tuple[Sequence[Row], Floats | None]]] = {}
    for table, resampled in tables:
        by_model.setdefault(contender(table[0])[:3], []).append((table, resampled))
    found: dict[Who, MeanRank] = {}
    for own in by_model.values():
        n_methods = len({row["method"] for table, _ in own for row in table})
        ranks: dict[Who, list[float]] = {}
        again: dict[Who, list[Floats | None]] = {}
        for table, resampled in own:
            if len(table) < 2:
                continue
            known = stretched_ranks(_goodness(table)[None], n_methods)[0]
            drawn = None if resampled is None else stretched_ranks(resampled, n_methods)
            for place, row in enumerate(table):
                ranks.setdefault(contender(row), []).append(float(known[place]))
                again.setdefault(contender(row), []).append(None if drawn is None else drawn[:, place])
        found |= {who: _mean_rank(own_ranks, again[who]) for who, own_ranks in ranks.items()}
    return found


def stretched_ranks(goodness: Floats, n_methods: int) -> Floats:
    """Return ranks within rows, 1 for the largest, ties their mean rank, stretched to 1 … n_methods.

    Args:
        goodness: `(R, M)`; undefined entries (NaN) get no rank.
        n_methods: Number of methods that ranks are stretched to.

    Example:
        >>> stretched_ranks(np.array([[0.9, 0.1, 0.5]]), 5).tolist()
        [[1.0, 5.0, 3.0]]
    """
    from scipy.stats import rankdata

    ranks = np.asarray(rankdata(-goodness, axis=1, nan_policy="omit"), dtype=np.float64)
    n_known = np.isfinite(goodness).sum(1, keepdims=True)
    return np.asarray(1 + (ranks - 1) * (n_methods - 1) / np.maximum(n_known - 1, 1))


def _mean_rank(ranks: Sequence[float], again: Sequence[Floats | None]) -> MeanRank:
    rank = float(np.mean(ranks))
    drawn = [one for one in again if one is not None]
    if len(drawn) < len(ranks):
        return MeanRank(rank, math.nan, math.nan, len(ranks))
    stacked = np.stack(drawn)
    n_defined = np.isfinite(stacked).sum(0)
    means = (np.nansum(stacked, axis=0) / np.maximum(n_defined, 1))[n_defined > 0]
    low, high = np.quantile(means, [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2])
    # Drawing again adds noise, which moves extreme ranks inwards: the range is widened to hold the rank itself.
    return MeanRank(rank, min(float(low), rank), max(float(high), rank), len(ranks))
