"""The wide form of a leaderboard: a row per model and method, a column per metric."""

from __future__ import annotations

import math
from collections.abc import Sequence

from .selection import contender
from .table import (
    ARROWS,
    UNKNOWN,
    Best,
    Columns,
    Row,
    TableFormat,
    csv_text,
    formatted,
    metric_name,
    model_names,
    number,
    told_apart,
)

WIDE_LABELS = ("dataset", "model", "method")
TIES_NOTE = "bold: the best of its model; ~: its 95 % interval does not leave out the best one's mean.\n"
_TIED = "~"


def render_wide(rows: Sequence[Row], style: TableFormat, *, full: bool = False) -> str:
    """Return the wide form as text; CSV has the means in full precision.

    Args:
        rows: Rows of a leaderboard.
        style: The form.
        full: Whether to add intervals.
    """
    if style == "csv":
        return wide_csv(rows)
    table = wide_columns(rows, full=full)
    text = formatted(table, style, numeric=frozenset(table) - set(WIDE_LABELS))
    # A page or a paper has its own caption.
    return f"{text}{TIES_NOTE}" if style == "md" else text


def wide_columns(rows: Sequence[Row], *, full: bool = False) -> Columns:
    """Return means as text, a row per model and method and a column per metric, in the order of the rows.

    Of each model and metric the best mean is marked, and `~` those whose interval holds the best mean. An arrow
    says whether higher or lower is better. What was not measured is empty; a mean that is undefined is `–`.

    Args:
        rows: Rows of a leaderboard.
        full: Whether to add intervals.
    """
    rows = told_apart(rows)
    contenders = list(dict.fromkeys(map(contender, rows)))
    metrics = list(dict.fromkeys(metric_name(row) for row in rows))
    cells = {(contender(row), metric_name(row)): row for row in rows}
    best = _best_means(rows)
    names = model_names(rows)

    def text(who: tuple[str, str, str, str], metric: str) -> str:
        row = cells.get((who, metric))
        if row is None:
            return ""
        if math.isnan(row["mean"]):
            return UNKNOWN
        interval = f" [{number(row['ci_low'])}, {number(row['ci_high'])}]" if full else ""
        best_mean = best[who[:3], metric]
        if row["mean"] == best_mean:
            return Best(f"{number(row['mean'])}{interval}")
        # Without an interval nothing says that it is worse.
        tied = not (best_mean < row["ci_low"] or best_mean > row["ci_high"])
        return f"{_TIED if tied else ''}{number(row['mean'])}{interval}"

    arrows = {metric_name(row): ARROWS[row["direction"]] for row in rows}
    return {
        "dataset": [who[0] for who in contenders],
        "model": [names[who[:3]] for who in contenders],
        "method": [who[3] for who in contenders],
        **{f"{metric} {arrows[metric]}": [text(who, metric) for who in contenders] for metric in metrics},
    }


def wide_csv(rows: Sequence[Row]) -> str:
    """Return means in full precision as CSV: a row per model and method, a column `metric/preset` per metric."""
    rows = told_apart(rows)
    table: dict[tuple[str, str, str, str], dict[str, object]] = {}
    for row in rows:
        labels = {key: row[key] for key in ("dataset", "model", "weights", "method")}
        table.setdefault(contender(row), labels)[metric_name(row)] = row["mean"]
    columns = ["dataset", "model", "weights", "method", *dict.fromkeys(metric_name(row) for row in rows)]
    return csv_text([{**dict.fromkeys(columns, ""), **values} for values in table.values()], columns)


def _best_means(rows: Sequence[Row]) -> dict[tuple[tuple[str, str, str], str], float]:
    """Return the best mean of each dataset, model with its weights, and metric."""
    best: dict[tuple[tuple[str, str, str], str], float] = {}
    for row in rows:
        key = (contender(row)[:3], metric_name(row))
        choose = max if row["direction"] == "higher" else min
        if not math.isnan(row["mean"]):
            best[key] = choose(best.get(key, row["mean"]), row["mean"])
    return best
