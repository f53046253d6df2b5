"""Which comparisons a folder of results allows: two named contenders, or all methods of each table."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import pandas as pd

from bcos_eval.errors import InputError
from bcos_eval.reports.methods import order_key
from bcos_eval.reports.tables.leaderboard import status_counts

from .comparison import BestMethod, Comparison, best_method, compare_all, comparison_table, with_holm
from .contender_names import Pair, named_pairs
from .unit_matrix import Contender, UnitMatrix, UnpairedError, named_apart, unit_matrix

METRIC_COLUMNS = ("dataset", "metric", "preset", "pool", "direction")
_TABLE_COLUMNS = ("dataset", "model", "weights", "metric", "preset", "pool")


@dataclass(frozen=True, slots=True)
class ComparedTable:
    """Comparisons that were corrected for being tested together.

    Attributes:
        rows: One row per comparison: dataset, metric, preset, pool, direction, the attributes of `Comparison`,
            and the counts of units without a plain score of each side, `n_zero_a`, `n_zero_b`, ….
        best: The leader, where the rows are all pairs of one table.
    """

    rows: pd.DataFrame
    best: BestMethod | None = None


@dataclass(frozen=True, slots=True)
class ComparisonReport:
    """All that could be compared.

    Attributes:
        tables: At least one.
        notes: What could not be compared, and why.
    """

    tables: tuple[ComparedTable, ...]
    notes: tuple[str, ...]


def compare_named(units: pd.DataFrame, first: str, second: str, *, seed: int = 0) -> ComparisonReport:
    """Return the comparison of two contenders by every metric that both were scored by, as one table.

    Models are called as in `named_apart`: of weights that differ, each is a model of its own.

    Args:
        units: From `comparable_units`.
        first: `MODEL:METHOD`, `MODEL` or `METHOD`, see `named_pairs`.
        second: The other.
        seed: Seed of the resamples.

    Raises:
        InputError: If a name is not clear or nothing was scored for both.
        UnpairedError: If all their scores were measured on different units.
    """
    rows, comparisons, notes = [], [], []
    units = named_apart(units)
    for contenders in named_pairs(units, first, second):
        for cell in _shared_cells(units, contenders):
            try:
                comparisons += compare_all(unit_matrix(cell, contenders), seed=seed)
            except UnpairedError as error:
                notes.append(str(error))
                continue
            rows.append(_facts(cell, *contenders))
    _require(rows, notes, f"no metric was run for both '{first}' and '{second}'; run both with the same --metric.")
    return ComparisonReport((ComparedTable(_joined(rows, comparisons)),), tuple(dict.fromkeys(notes)))


def compare_within(units: pd.DataFrame, *, seed: int = 0) -> ComparisonReport:
    """Return the comparisons of all pairs of methods, one table per dataset, model, metric and preset.

    Args:
        units: From `comparable_units`.
        seed: Seed of the resamples.

    Raises:
        InputError: If no table has two methods.
    """
    tables, notes = [], []
    for _, cell in named_apart(units).groupby(list(_TABLE_COLUMNS), sort=True):
        names = sorted(
            {order_key(name, label) for name, label in zip(cell["method_name"], cell["method"], strict=True)}
        )
        methods = [label for _, label in names]
        if len(methods) < 2:
            continue
        try:
            matrix = unit_matrix(cell, [Contender(cell["model"].iloc[0], method) for method in methods])
            tables.append(_all_pairs(cell, matrix, seed))
        except InputError as error:
            notes.append(str(error))
    _require(tables, notes, "no metric was run for two methods of a model; run some with --method A,B.")
    return ComparisonReport(tuple(tables), tuple(notes))


def _require(found: Sequence[object], notes: Sequence[str], otherwise: str) -> None:
    """Refuse an empty report, with the first reason why something was left out if there is one."""
    if not found:
        raise UnpairedError(notes[0]) if notes else InputError(otherwise)


def _all_pairs(cell: pd.DataFrame, matrix: UnitMatrix, seed: int) -> ComparedTable:
    comparisons = compare_all(matrix, seed=seed)
    facts = [
        _facts(cell, Contender(row.model_a, row.method_a), Contender(row.model_b, row.method_b))
        for row in comparisons
    ]
    return ComparedTable(_joined(facts, comparisons), best_method(matrix, seed=seed))


def _shared_cells(units: pd.DataFrame, contenders: Pair) -> Iterator[pd.DataFrame]:
    """Yield the rows of each metric and pool of images that both contenders have.

    Where they have a metric and no pool in common, all rows of the metric are yielded, which cannot be compared.
    """
    for _, cell in units.groupby(["dataset", "metric", "preset"], sort=True):
        first, second = (set(cell.loc[_is_of(cell, one), "pool"]) for one in contenders)
        for pool in sorted(first & second):
            yield cell[cell["pool"] == pool]
        if first and second and not first & second:
            yield cell


def _is_of(cell: pd.DataFrame, contender: Contender) -> pd.Series:
    return (cell["model"] == contender.model) & (cell["method"] == contender.method)


def _facts(cell: pd.DataFrame, a: Contender, b: Contender) -> dict[str, object]:
    """What a row says besides the comparison: the metric, and the units of each side without a plain score."""
    return {**{column: cell[column].iloc[0] for column in METRIC_COLUMNS}, **dict(_counts(cell, a, b))}


def _counts(cell: pd.DataFrame, a: Contender, b: Contender) -> Iterator[tuple[str, int]]:
    for side, contender in (("a", a), ("b", b)):
        for column, n in status_counts(cell.loc[_is_of(cell, contender), "status"]).items():
            yield f"{column}_{side}", n


def _joined(facts: Sequence[dict[str, object]], comparisons: Sequence[Comparison]) -> pd.DataFrame:
    stated = pd.DataFrame(facts)
    corrected = comparison_table(with_holm(comparisons, stated["direction"].tolist()))
    counts = stated.drop(columns=list(METRIC_COLUMNS))
    return pd.concat([stated[list(METRIC_COLUMNS)], corrected, counts], axis=1)
