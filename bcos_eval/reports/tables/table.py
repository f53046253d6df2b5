"""A leaderboard as text: CSV to compute with, Markdown for the terminal and README, HTML for a page."""

from __future__ import annotations

import html
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Literal

import pandas as pd

from .leaderboard import LEADERBOARD_COLUMNS

TableFormat = Literal["csv", "md", "html"]

ARROWS = {"higher": "↑", "lower": "↓"}
UNKNOWN = "–"
# Printed column by the count behind it: units without a plain score, beside the two counts of the contract.
_COUNTS = {"constant": "n_constant", "empty": "n_empty", "skipped": "n_skipped"}
_NUMERIC = frozenset({"n", "mean", "95 % interval", "median", "chance", "zero", "nonfinite", *_COUNTS, "s/unit"})


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


def render(table: pd.DataFrame, style: TableFormat) -> str:
    """Return the leaderboard as text; only here are numbers rounded, and in CSV not even here.

    Args:
        table: Rows in the leaderboard's contract columns; counts in further columns are printed too.
        style: "csv" has every column of the contract, "md" and "html" those that fit a page.
    """
    if style == "csv":
        return str(table[list(LEADERBOARD_COLUMNS)].to_csv(index=False))
    readable = readable_columns(table)
    return markdown(readable) if style == "md" else _html(readable)


def style_of(path: Path | None) -> TableFormat:
    """Return the form that a file's suffix stands for; Markdown where it says nothing."""
    styles: dict[str, TableFormat] = {".csv": "csv", ".html": "html"}
    return "md" if path is None else styles.get(path.suffix.lower(), "md")


def readable_columns(table: pd.DataFrame) -> pd.DataFrame:
    """Return the columns a reader compares, as text; an arrow says whether higher or lower is better."""
    named = [
        f"{metric}/{preset} {ARROWS[direction]}"
        for metric, preset, direction in zip(table["metric"], table["preset"], table["direction"], strict=True)
    ]
    intervals = [
        f"[{number(low)}, {number(high)}]" for low, high in zip(table["ci_low"], table["ci_high"], strict=True)
    ]
    return pd.DataFrame(
        {
            "dataset": table["dataset"],
            "model": table["model"],
            "method": table["method"],
            "metric": named,
            "n": [str(n) for n in table["n"]],
            "mean": [number(value) for value in table["mean"]],
            "95 % interval": intervals,
            "median": [number(value) for value in table["median"]],
            "chance": [number(value) for value in table["chance"]],
            "zero": [str(n) for n in table["n_zero"]],
            "nonfinite": [str(n) for n in table["n_nonfinite"]],
            **{name: [str(n) for n in table[column]] for name, column in _COUNTS.items() if column in table},
            "s/unit": [number(value) for value in table["seconds_per_unit"]],
        },
        dtype=str,
    )


def number(value: float) -> str:
    """Return a number as tables print it."""
    return UNKNOWN if pd.isna(value) else f"{value:.3f}"


def markdown(table: pd.DataFrame, *, numeric: Collection[str] = _NUMERIC) -> str:
    """Return a table of texts in Markdown, aligned; numeric columns to the right."""
    columns = [str(column) for column in table.columns]
    rows = [[str(value).replace("|", "\\|") for value in row] for row in table.itertuples(index=False)]
    widths = [max(len(row[i]) for row in [columns, *rows]) for i in range(len(columns))]
    rule = [
        "-" * (width - 1) + ":" if column in numeric else "-" * width
        for column, width in zip(columns, widths, strict=True)
    ]
    lines = [_line(columns, columns, widths, numeric), "| " + " | ".join(rule) + " |"]
    lines += [_line(row, columns, widths, numeric) for row in rows]
    return "\n".join(lines) + "\n"


def _line(values: Sequence[str], columns: Sequence[str], widths: Sequence[int], numeric: Collection[str]) -> str:
    cells = [
        value.rjust(width) if column in numeric else value.ljust(width)
        for value, column, width in zip(values, columns, widths, strict=True)
    ]
    return "| " + " | ".join(cells) + " |"


def _html(table: pd.DataFrame) -> str:
    """A page that needs nothing else: numbers to the right, readable in light and dark."""
    header = "".join(_cell("th", column, column) for column in table.columns)
    rows = [
        "<tr>"
        + "".join(_cell("td", column, value) for column, value in zip(table.columns, row, strict=True))
        + "</tr>"
        for row in table.itertuples(index=False)
    ]
    body = ["<table>", f"<thead><tr>{header}</tr></thead>", "<tbody>", *rows, "</tbody>", "</table>"]
    return "\n".join([_PAGE_HEAD, *body, "</body>", "</html>"]) + "\n"


def _cell(tag: str, column: str, value: str) -> str:
    number_class = ' class="number"' if column in _NUMERIC else ""
    return f"<{tag}{number_class}>{html.escape(str(value))}</{tag}>"
