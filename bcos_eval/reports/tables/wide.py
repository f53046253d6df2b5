"""The wide form of a leaderboard: a row per model and method, a column per metric."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Literal

from .selection import contender
from .table import (
    ARROWS,
    UNKNOWN,
    Best,
    Columns,
    Row,
    csv_text,
    formatted,
    metric_name,
    model_names,
    number,
    told_apart,
)

if TYPE_CHECKING:
    from bcos_eval.reports.comparison.standings import MeanRank, Standings

WIDE_LABELS = ("dataset", "model", "method")
RANK = "mean rank"
WIDE_NOTE = (
    "bold: the best mean of its model; ~: not told from the best by a paired test over the units of both "
    "(Holm within the column, 5 %); mean rank: over the metrics, with the range of 95 % of the draws when stimuli "
    "are drawn again; controls know nothing of the model and are neither best nor ranked.\n"
)
_TIED = "~"
_CHANCE = "chance level"

Who = tuple[str, str, str, str]


def render_wide(
    rows: Sequence[Row], style: Literal["md", "html", "latex"], standings: Standings, *, full: bool = False
) -> str:
    """Return the wide form as text; for CSV see `wide_csv`.

    Args:
        rows: Rows of a leaderboard.
        style: The form.
        standings: Who is best, tied and ranked, among these rows.
        full: Whether to add intervals.
    """
    table = wide_columns(rows, standings, full=full)
    text = formatted(table, style, numeric=frozenset(table) - set(WIDE_LABELS))
    # A page or a paper has its own caption.
    return f"{text}\n{WIDE_NOTE}" if style == "md" else text


def wide_columns(rows: Sequence[Row], standings: Standings, *, full: bool = False) -> Columns:
    """Return means as text, a row per model and method and a column per metric, in the order of the rows.

    Of each model and metric the best mean is marked, and `~` those that tie with it. Controls are named as such,
    and chance levels come last. An arrow says whether higher or lower is better. What was not measured is empty; a
    mean that is undefined is `–`.

    Args:
        rows: Rows of a leaderboard.
        standings: Who is best, tied and ranked.
        full: Whether to add intervals.
    """
    from bcos_eval.reports.comparison.standings import labels_of

    rows = told_apart(rows)
    metrics = list(dict.fromkeys(metric_name(row) for row in rows))
    cells = {(contender(row), metric_name(row)): row for row in rows}
    controls = {contender(row) for row in rows if row.get("is_control", False)}
    names, arrows = model_names(rows), {metric_name(row): ARROWS[row["direction"]] for row in rows}

    def text(who: Who, metric: str) -> str:
        row = cells.get((who, metric))
        if row is None:
            return ""
        interval = f" [{number(row['ci_low'])}, {number(row['ci_high'])}]" if full else ""
        shown, labels = f"{number(row['mean'])}{interval}", labels_of(row)
        if labels in standings.best:
            return Best(shown)
        return f"{_TIED}{shown}" if labels in standings.tied else shown

    lines = [
        [
            who[0],
            names[who[:3]],
            f"{who[3]} (control)" if who in controls else who[3],
            rank_text(standings.ranks.get(who)),
            *(text(who, metric) for metric in metrics),
        ]
        for who in dict.fromkeys(map(contender, rows))
    ]
    headings = [*WIDE_LABELS, RANK, *(f"{metric} {arrows[metric]}" for metric in metrics)]
    lines += _chance_lines(rows, metrics, names)
    return dict(zip(headings, zip(*lines, strict=True), strict=True))


def rank_text(rank: MeanRank | None) -> str:
    """Return a mean rank with its range where there is one."""
    if rank is None:
        return UNKNOWN
    interval = "" if math.isnan(rank.low) else f" [{rank.low:.1f}, {rank.high:.1f}]"
    return f"{rank.rank:.1f}{interval}"


def wide_csv(rows: Sequence[Row]) -> str:
    """Return means in full precision as CSV: a row per model and method, a column `metric/preset` per metric."""
    rows = told_apart(rows)
    table: dict[Who, dict[str, object]] = {}
    for row in rows:
        labels = {key: row[key] for key in ("dataset", "model", "weights", "method")}
        table.setdefault(contender(row), labels)[metric_name(row)] = row["mean"]
    columns = ["dataset", "model", "weights", "method", *dict.fromkeys(metric_name(row) for row in rows)]
    return csv_text([{**dict.fromkeys(columns, ""), **values} for values in table.values()], columns)


def chance_levels(rows: Sequence[Row]) -> dict[tuple[str, str, str], dict[str, float]]:
    """Return the chance level of each metric, the mean over methods, by dataset, model and weights."""
    levels: dict[tuple[str, str, str], dict[str, list[float]]] = {}
    for row in rows:
        if not math.isnan(row["chance"]):
            own = levels.setdefault((row["dataset"], row["model"], row["weights"]), {})
            own.setdefault(metric_name(row), []).append(row["chance"])
    return {key: {name: sum(of) / len(of) for name, of in own.items()} for key, own in levels.items()}


def _chance_lines(
    rows: Sequence[Row], metrics: Sequence[str], names: Mapping[tuple[str, str, str], str]
) -> Iterator[list[str]]:
    """Yield a line of chance levels for each dataset, or for each of its models where they differ."""
    texts: dict[str, dict[tuple[str, ...], list[str]]] = {}
    for key, levels in chance_levels(rows).items():
        line = tuple(number(levels[metric]) if metric in levels else UNKNOWN for metric in metrics)
        texts.setdefault(key[0], {}).setdefault(line, []).append(names[key])
    for dataset, by_line in texts.items():
        for line, models in by_line.items():
            yield [dataset, "" if len(by_line) == 1 else ", ".join(models), _CHANCE, "", *line]
