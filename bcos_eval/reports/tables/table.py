"""The columns of a leaderboard, and its forms: CSV to compute with, Markdown, HTML and LaTeX to read."""

from __future__ import annotations

import csv
import html
import io
import json
import math
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from typing import Any, Literal

Row = Mapping[str, Any]
# Texts by the heading of their column, all of one length.
Columns = Mapping[str, Sequence[str]]
# How many units have no plain score: column by the stored status it counts.
STATUS_COLUMNS = {
    "n_zero": "zero_map",
    "n_constant": "constant_map",
    "n_empty": "empty_region",
    "n_skipped": "skipped",
    "n_failed": "failed",
    "n_nonfinite": "nonfinite",
}
# Together they identify a measurement: rows that are equal in them are comparable, whatever run they are of.
LABEL_COLUMNS = ("dataset", "model", "weights", "method", "metric", "preset", "pool")
LEADERBOARD_COLUMNS = (
    *LABEL_COLUMNS,
    "n",
    "n_planned",
    "mean",
    "ci_low",
    "ci_high",
    "median",
    "q25",
    "q75",
    "chance",
    *STATUS_COLUMNS,
    "direction",
)
# Times differ from run to run; in a file of their own they leave the leaderboard the same byte for byte.
TIMING_COLUMNS = (*LABEL_COLUMNS, "seconds_per_unit")

TableFormat = Literal["md", "csv", "html", "latex"]

ARROWS = {"higher": "↑", "lower": "↓"}
UNKNOWN = "–"
# Rows of fewer stimuli (clusters: grids, images) are marked.
FEW_STIMULI = 30
FEW_STIMULI_NOTE = f"* fewer than {FEW_STIMULI} stimuli: intervals are wide, orders of means uncertain.\n"
# Weights are told apart by the beginning of their digest.
_WEIGHTS_CHARACTERS = 12
# Printed column by the count behind it: units without a plain score.
_COUNTS = {column.removeprefix("n_"): column for column in STATUS_COLUMNS}
_NUMERIC = frozenset({"n", "left out", "mean", "95 % interval", "median", "chance", *_COUNTS, "tied", "s/unit"})
UNFINISHED_NOTE = (
    "N of M: an unfinished row holds the first stimuli, and networks are surest of the first grids; compare rows "
    "of different n in pairs (bcos-eval compare).\n"
)
LEFT_OUT_NOTE = "left out: images that some model of the run does not classify correctly, of those looked at.\n"


_PAGE_HEAD = """\
<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>bcos-eval leaderboard</title>
<style>
:root { color-scheme: light dark; }
body { font: 14px/1.4 system-ui, sans-serif; margin: 1.5rem; overflow-x: auto; }
table { border-collapse: collapse; }
th, td { padding: 0.2rem 0.7rem; text-align: left; white-space: nowrap; }
th { border-bottom: 2px solid; position: sticky; top: 0; background: Canvas; }
td { border-bottom: 1px solid color-mix(in srgb, currentColor 15%, transparent); }
.number { text-align: right; font-variant-numeric: tabular-nums; }
</style>
</head>
<body>"""


class Best(str):
    """A text that stands out: the best of a comparison."""


def render(rows: Sequence[Row], style: TableFormat, *, full: bool = False) -> str:
    """Return the leaderboard as text; only here are numbers rounded, and in CSV not even here.

    Args:
        rows: Rows with the leaderboard's columns; counts of further statuses are printed too, and rows of few
            stimuli are marked, where they say so.
        style: "csv" has every column of the contract, the others those that readers compare.
        full: Whether to show rare columns too, see `readable_columns`.
    """
    if style == "csv":
        return csv_text(rows, LEADERBOARD_COLUMNS)
    note = FEW_STIMULI_NOTE if any(_stimuli(row) < FEW_STIMULI for row in rows) else ""
    note += UNFINISHED_NOTE if any(map(_is_unfinished, rows)) else ""
    note += LEFT_OUT_NOTE if any(_left_out(row) for row in rows) else ""
    return formatted(readable_columns(rows, full=full), style, note=note)


def formatted(
    table: Columns, style: Literal["md", "html", "latex"], *, numeric: Collection[str] = _NUMERIC, note: str = ""
) -> str:
    """Return a table of texts in a form to read; numeric columns to the right, `Best` texts in bold.

    Args:
        table: Texts by column.
        style: The form.
        numeric: Columns that are aligned to the right.
        note: A line below the table, without markup.
    """
    if style == "latex":
        from .latex import latex

        return latex(table, numeric) + (f"\n{note}" if note else "")
    if style == "html":
        return _html(table, numeric, note)
    return markdown(table, numeric=numeric) + (f"\n{note}" if note else "")


def csv_text(rows: Sequence[Row], columns: Sequence[str]) -> str:
    """Return some columns of rows as CSV, with a heading; numbers in full precision, undefined ones empty."""
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows([_csv_value(row[column]) for column in columns] for row in rows)
    return stream.getvalue()


def json_text(name: str, rows: Sequence[Row]) -> str:
    """Return rows as a JSON object with one list of this name; undefined numbers are null."""
    kept = [{key: json_value(value) for key, value in row.items()} for row in rows]
    return json.dumps({name: kept}, indent=1, ensure_ascii=False, allow_nan=False) + "\n"


def json_value(value: object) -> object:
    """Return a value as JSON can hold it: an undefined number is null."""
    return None if isinstance(value, float) and math.isnan(value) else value


def _csv_value(value: object) -> object:
    return "" if isinstance(value, float) and math.isnan(value) else value


def readable_columns(rows: Sequence[Row], *, full: bool = False) -> Columns:
    """Return the columns a reader compares, as text; an arrow says whether higher or lower is better.

    Args:
        rows: Rows of a leaderboard.
        full: Whether to show what is rarely asked for: the median, the median share of tied pixels, the time per
            unit, and counts of units without a plain score where there are none. Counts are always shown where
            there are some, and so is how many images were left out of how many.
    """
    counts = {name: column for name, column in _COUNTS.items() if full or any(row[column] for row in rows)}
    rows, names = told_apart(rows), model_names(rows)
    medians = {"median": [number(row["median"]) for row in rows]} if full else {}
    left_out = {"left out": [_left_out(row) or UNKNOWN for row in rows]} if any(map(_left_out, rows)) else {}
    times = {"s/unit": [number(row["seconds_per_unit"]) for row in rows]} if full else {}
    shares = [row.get("median_tied", math.nan) for row in rows]
    is_tied = full and not all(map(math.isnan, shares))
    tied = {"tied": [number(share) for share in shares]} if is_tied else {}
    return {
        "dataset": [row["dataset"] for row in rows],
        "model": [names[row["dataset"], row["model"], row["weights"]] for row in rows],
        "method": [row["method"] for row in rows],
        "metric": [f"{metric_name(row)} {ARROWS[row['direction']]}" for row in rows],
        "n": [_n_of_planned(row) for row in rows],
        **left_out,
        "mean": [number(row["mean"]) for row in rows],
        "95 % interval": [f"[{number(row['ci_low'])}, {number(row['ci_high'])}]" for row in rows],
        **medians,
        "chance": [number(row["chance"]) for row in rows],
        **{name: [str(row[column]) for row in rows] for name, column in counts.items()},
        **tied,
        **times,
    }


def metric_name(row: Row) -> str:
    """Return a row's metric with its preset, and with its pool of images where `told_apart` found others."""
    return f"{row['metric']}/{row['preset']}{row.get('shown_pool', '')}"


def told_apart(rows: Sequence[Row]) -> list[Row]:
    """Return rows that `metric_name` calls differently where they differ in nothing but the pool of images."""
    pools: dict[tuple[str, ...], set[str]] = {}
    for row in rows:
        pools.setdefault((row["dataset"], row["metric"], row["preset"]), set()).add(row["pool"])
    ambiguous = {key for key, found in pools.items() if len(found) > 1}
    return [
        {**row, "shown_pool": f" [{row['pool']}]"}
        if (row["dataset"], row["metric"], row["preset"]) in ambiguous
        else row
        for row in rows
    ]


def model_names(rows: Sequence[Row]) -> Mapping[tuple[str, str, str], str]:
    """Return what models are called by (dataset, model, weights): with a digest where only weights differ."""
    known = dict.fromkeys((row["dataset"], row["model"], row["weights"]) for row in rows)
    counts = Counter((dataset, model) for dataset, model, _ in known)
    return {key: key[1] if counts[key[:2]] == 1 else f"{key[1]} [{key[2][:_WEIGHTS_CHARACTERS]}]" for key in known}


def number(value: float) -> str:
    """Return a number as tables print it."""
    return UNKNOWN if math.isnan(value) else f"{value:.3f}"


def counted(n: int, n_stimuli: int) -> str:
    """Return a number of units, marked where they are of so few stimuli that `FEW_STIMULI_NOTE` applies."""
    return f"{n}*" if n_stimuli < FEW_STIMULI else str(n)


def markdown(table: Columns, *, numeric: Collection[str] = _NUMERIC) -> str:
    """Return a table of texts in Markdown, aligned; numeric columns to the right."""
    columns = list(table)
    rows = [[_marked(value) for value in row] for row in zip(*table.values(), strict=True)]
    # A rule of one character cannot say where its column is aligned.
    widths = [max(2, *(len(row[i]) for row in [columns, *rows])) for i in range(len(columns))]
    rule = [
        "-" * (width - 1) + ":" if column in numeric else "-" * width
        for column, width in zip(columns, widths, strict=True)
    ]
    lines = [_line(columns, columns, widths, numeric), "| " + " | ".join(rule) + " |"]
    lines += [_line(row, columns, widths, numeric) for row in rows]
    return "\n".join(lines) + "\n"


def _n_of_planned(row: Row) -> str:
    """Return the number of units, with the number planned where it is another: `89 of 90`."""
    n, planned = counted(row["n"], _stimuli(row)), row["n_planned"]
    return n if planned in (None, row["n"]) else f"{n} of {planned}"


def _is_unfinished(row: Row) -> bool:
    """Whether units are still to be computed; rows that were read from a file do not say."""
    planned = row["n_planned"]
    return planned is not None and row.get("stored", planned) < planned and not row["was_to_stop"]


def _left_out(row: Row) -> str:
    """Return how many images were left out of how many, `13 of 63`; empty where none ever is."""
    n_looked_at = row.get("n_looked_at")
    return "" if n_looked_at is None else f"{row['n_left_out']} of {n_looked_at}"


def _stimuli(row: Row) -> int:
    """Number of stimuli of a row; rows that were read from a file do not say and are not marked."""
    return int(row.get("n_stimuli", FEW_STIMULI))


def _marked(value: str) -> str:
    escaped = value.replace("|", "\\|")
    return f"**{escaped}**" if isinstance(value, Best) else escaped


def _line(values: Sequence[str], columns: Sequence[str], widths: Sequence[int], numeric: Collection[str]) -> str:
    cells = [
        value.rjust(width) if column in numeric else value.ljust(width)
        for value, column, width in zip(values, columns, widths, strict=True)
    ]
    return "| " + " | ".join(cells) + " |"


def _html(table: Columns, numeric: Collection[str], note: str) -> str:
    """A page that needs nothing else: numbers to the right, readable in light and dark."""
    header = "".join(_cell("th", column in numeric, column) for column in table)
    rows = [
        "<tr>"
        + "".join(_cell("td", column in numeric, value) for column, value in zip(table, row, strict=True))
        + "</tr>"
        for row in zip(*table.values(), strict=True)
    ]
    body = ["<table>", f"<thead><tr>{header}</tr></thead>", "<tbody>", *rows, "</tbody>", "</table>"]
    body += [f"<p>{html.escape(note.strip())}</p>"] if note else []
    return "\n".join([_PAGE_HEAD, *body, "</body>", "</html>"]) + "\n"


def _cell(tag: str, is_number: bool, value: str) -> str:
    number_class = ' class="number"' if is_number else ""
    shown = f"<b>{html.escape(value)}</b>" if isinstance(value, Best) else html.escape(value)
    return f"<{tag}{number_class}>{shown}</{tag}>"
