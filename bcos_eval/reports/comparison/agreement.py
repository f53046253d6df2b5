"""Which metrics say the same thing: rank correlations of the methods' mean scores.

Two metrics agree if they put the methods of a model in the same order, and two models agree if a metric puts the
methods in the same order on both. Means are turned first so that more is better for every metric. As text:
Markdown to read, CSV and JSON to compute with.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import stats
from scipy.cluster.hierarchy import leaves_list, linkage, optimal_leaf_ordering
from scipy.spatial.distance import squareform

from bcos_eval.errors import InputError
from bcos_eval.reports.tables.table import ARROWS, UNKNOWN, markdown, metric_name, told_apart
from bcos_eval.statistics.resampling import Floats

from .known_order import DEGRADED, Recovery, recoveries_text, recovery_rows

# With two methods a rank correlation can only be 1 or −1.
FEWEST_METHODS = 3
# Means of equal scores, summed in another order, differ by less: they are ties.
_DIGITS = 12

Across = Literal["metrics", "models"]
AgreementFormat = Literal["md", "csv", "json"]
# Of each question: what one table is about, and whose rankings are compared in it.
_TABLE_COLUMNS: dict[Across, list[str]] = {
    "metrics": ["dataset", "model", "weights"],
    "models": ["dataset", "metric", "preset", "pool"],
}


LEGEND = """\
Below the diagonal Spearman's ρ, above it Kendall's τ of the methods' mean scores, turned so that more is better: 1
where both put the methods in the same order, −1 where in the opposite. A dash: fewer than 3 methods in common, or
all equal.
"""


@dataclass(frozen=True, slots=True)
class Agreement:
    """The rank correlations among L rankings of the same methods.

    Attributes:
        about: What they have in common: dataset and model, or dataset and metric.
        labels: Whose rankings they are, similar ones side by side.
        spearman: Spearman's ρ `(L, L)`; NaN where fewer than 3 methods have both or all are equal in one.
        kendall: Kendall's τ_b `(L, L)`, likewise.
        n_methods: Number of methods that have both `(L, L)`.
    """

    about: tuple[str, str]
    labels: tuple[str, ...]
    spearman: Floats
    kendall: Floats
    n_methods: NDArray[np.int64]


def agreements(
    table: pd.DataFrame, across: Across = "metrics", *, without: Collection[str] = frozenset()
) -> list[Agreement]:
    """Return the rank correlations, one set per dataset and model (across metrics) or metric (across models).

    Args:
        table: A leaderboard.
        across: Whose rankings are compared.
        without: Methods that are not ranked, as the table calls them. Everything agrees that controls are bad, for
            example, which is no agreement on the rest. Maps made worse on purpose are never ranked: see
            `known_order`.

    Raises:
        InputError: If nowhere two rankings have 3 methods in common.
    """
    is_defined = np.isfinite(table["mean"].astype(np.float64))
    is_left_out = table["method"].isin(without) | (table["method"].str.split("(").str[0] == DEGRADED)
    ranked = table[is_defined & ~is_left_out]
    found = list(_agreements(ranked, across))
    if not found:
        raise InputError(
            f"no two {across} were run with {FEWEST_METHODS} methods in common, without which a rank correlation "
            "says nothing; run more with --method and --metric."
        )
    return found


def agreement_rows(agreement: Agreement) -> Iterator[dict[str, object]]:
    """Yield one row per pair of rankings."""
    for i, j in itertools.combinations(range(len(agreement.labels)), 2):
        yield {
            "dataset": agreement.about[0],
            "of": agreement.about[1],
            "a": agreement.labels[i],
            "b": agreement.labels[j],
            "n_methods": int(agreement.n_methods[i, j]),
            "spearman": float(agreement.spearman[i, j]),
            "kendall": float(agreement.kendall[i, j]),
        }


def agreement_table(found: Iterable[Agreement], recovered: Iterable[Recovery] = ()) -> pd.DataFrame:
    """Return a row per pair of rankings, the last of them of a metric and a known order."""
    pairs = (row for agreement in found for row in agreement_rows(agreement))
    return pd.DataFrame([*pairs, *recovery_rows(recovered)])


def agreement_text(found: Sequence[Agreement], style: AgreementFormat, recovered: Sequence[Recovery] = ()) -> str:
    """Return agreements, and how far metrics recover a known order, as text; only Markdown is rounded."""
    if style == "md":
        rankings = [*map(_section, found), LEGEND] if found else []
        return "\n".join([*rankings, *([recoveries_text(recovered)] if recovered else [])])
    rows = agreement_table(found, recovered)
    if style == "csv":
        return str(rows.to_csv(index=False))
    records = json.loads(rows.to_json(orient="records", double_precision=15))
    return json.dumps(records, indent=1, ensure_ascii=False, allow_nan=False) + "\n"


def method_counts(agreement: Agreement) -> str:
    """Return how many methods the correlations rest on, in words."""
    counts = agreement.n_methods[np.triu_indices(len(agreement.labels), 1)]
    low, high = int(counts.min()), int(counts.max())
    return f"{low} methods" if low == high else f"{low} to {high} methods"


def _agreements(table: pd.DataFrame, across: Across) -> Iterator[Agreement]:
    signs = table["direction"].map({"higher": 1.0, "lower": -1.0})
    arrows = table["direction"].map(ARROWS)
    rows = [{str(column): value for column, value in row.items()} for row in table.to_dict("records")]
    metric = pd.Series([metric_name(row) for row in told_apart(rows)], index=table.index, dtype=str)
    rankings = metric + " " + arrows if across == "metrics" else table["model"]
    subjects = table["model"] if across == "metrics" else metric
    turned = table.assign(goodness=signs * table["mean"], ranking=rankings, subject=subjects)
    for _, ranked in turned.groupby(_TABLE_COLUMNS[across], sort=True):
        # Models with several weights have a row for each; the mean stands for the model.
        means = ranked.pivot_table(index="method", columns="ranking", values="goodness", aggfunc="mean")
        agreement = _agreement(means, (str(ranked["dataset"].iloc[0]), str(ranked["subject"].iloc[0])))
        if np.triu(agreement.n_methods >= FEWEST_METHODS, 1).any():
            yield agreement


def _agreement(means: pd.DataFrame, about: tuple[str, str]) -> Agreement:
    values = means.to_numpy(np.float64).round(_DIGITS)
    defined = np.isfinite(values).astype(np.int64)
    spearman = _correlations(values, lambda a, b: float(stats.spearmanr(a, b).statistic))
    kendall = _correlations(values, lambda a, b: float(stats.kendalltau(a, b).statistic))
    order = similar_first(spearman)
    square = np.ix_(order, order)
    return Agreement(
        about=about,
        labels=tuple(str(means.columns[place]) for place in order),
        spearman=spearman[square],
        kendall=kendall[square],
        n_methods=(defined.T @ defined)[square],
    )


def _correlations(values: Floats, correlation: Callable[[Floats, Floats], float]) -> Floats:
    """Correlate the columns `(N, L)` on the rows that both have."""
    n_columns = values.shape[1]
    found = np.full((n_columns, n_columns), np.nan)
    for i, j in itertools.product(range(n_columns), repeat=2):
        a, b = values[np.isfinite(values[:, [i, j]]).all(1)][:, [i, j]].T
        if len(a) >= FEWEST_METHODS and np.ptp(a) > 0 and np.ptp(b) > 0:
            found[i, j] = correlation(a, b)
    return found


def similar_first(correlations: Floats) -> list[int]:
    """Return an order in which similar rankings lie side by side: average linkage, leaves ordered optimally.

    Args:
        correlations: Symmetric `(L, L)`; undefined ones (NaN) count as 0.
    """
    if len(correlations) < 3:
        return list(range(len(correlations)))
    distances = 1 - np.nan_to_num(correlations, nan=0.0)
    np.fill_diagonal(distances, 0)
    condensed = squareform(distances, checks=False).clip(min=0)
    return [int(leaf) for leaf in leaves_list(optimal_leaf_ordering(linkage(condensed, "average"), condensed))]


def _section(agreement: Agreement) -> str:
    numbers = [str(number) for number in range(1, len(agreement.labels) + 1)]
    columns: dict[str, list[str]] = {"no.": numbers, "ranking by": list(agreement.labels)}
    for j, number in enumerate(numbers):
        columns[number] = [_cell(agreement, i, j) for i in range(len(numbers))]
    dataset, subject = agreement.about
    table = markdown(columns, numeric={"no.", *numbers})
    return f"### {dataset}, {subject} ({method_counts(agreement)})\n\n{table}"


def _cell(agreement: Agreement, i: int, j: int) -> str:
    if i == j:
        return ""
    value = (agreement.spearman if i > j else agreement.kendall)[i, j]
    text = UNKNOWN if np.isnan(value) else f"{value:.2f}"
    uneven = len(set(agreement.n_methods[np.triu_indices(len(agreement.labels), 1)].tolist())) > 1
    return f"{text} ({agreement.n_methods[i, j]})" if uneven else text
