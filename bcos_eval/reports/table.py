"""A leaderboard as text: CSV to compute with, Markdown for the terminal and README, HTML for a page."""

from __future__ import annotations

import html
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import pandas as pd

TableFormat = Literal["csv", "md", "html"]

_ARROWS = {"higher": "↑", "lower": "↓"}
_UNKNOWN = "–"
_NUMERIC = frozenset({"n", "mean", "95 % interval", "median", "chance", "zero", "nonfinite", "s/unit"})


def render(table: pd.DataFrame, style: TableFormat) -> str:
    """Return the leaderboard as text; only here are numbers rounded, and in CSV not even here.

    Args:
        table: Rows in the leaderboard's contract columns.
        style: "csv" has every column, "md" and "html" those that fit a page.
    """
    if style == "csv":
        return str(table.to_csv(index=False))
    readable = readable_columns(table)
    return _markdown(readable) if style == "md" else _html(readable)


def style_of(path: Path | None) -> TableFormat:
    """Return the form that a file's suffix stands for; Markdown where it says nothing."""
    styles: dict[str, TableFormat] = {".csv": "csv", ".html": "html"}
    return "md" if path is None else styles.get(path.suffix.lower(), "md")


def readable_columns(table: pd.DataFrame) -> pd.DataFrame:
    """Return the columns a reader compares, as text; an arrow says whether higher or lower is better."""
    named = [
        f"{metric}/{preset} {_ARROWS[direction]}"
        for metric, preset, direction in zip(table["metric"], table["preset"], table["direction"], strict=True)
    ]
    intervals = [
        f"[{_number(low)}, {_number(high)}]" for low, high in zip(table["ci_low"], table["ci_high"], strict=True)
    ]
    return pd.DataFrame(
        {
            "dataset": table["dataset"],
            "model": table["model"],
            "method": table["method"],
            "metric": named,
            "n": [str(n) for n in table["n"]],
            "mean": [_number(value) for value in table["mean"]],
            "95 % interval": intervals,
            "median": [_number(value) for value in table["median"]],
            "chance": [_number(value) for value in table["chance"]],
            "zero": [str(n) for n in table["n_zero"]],
            "nonfinite": [str(n) for n in table["n_nonfinite"]],
            "s/unit": [_number(value) for value in table["seconds_per_unit"]],
        },
        dtype=str,
    )


def _number(value: float) -> str:
    return _UNKNOWN if pd.isna(value) else f"{value:.3f}"


def _markdown(table: pd.DataFrame) -> str:
    columns = [str(column) for column in table.columns]
    rows = [[str(value).replace("|", "\\|") for value in row] for row in table.itertuples(index=False)]
    widths = [max(len(row[i]) for row in [columns, *rows]) for i in range(len(columns))]
    rule = [
        "-" * (width - 1) + ":" if column in _NUMERIC else "-" * width
        for column, width in zip(columns, widths, strict=True)
    ]
    lines = [_line(columns, columns, widths), "| " + " | ".join(rule) + " |"]
    lines += [_line(row, columns, widths) for row in rows]
    return "\n".join(lines) + "\n"


def _line(values: Sequence[str], columns: Sequence[str], widths: Sequence[int]) -> str:
    cells = [
        value.rjust(width) if column in _NUMERIC else value.ljust(width)
        for value, column, width in zip(values, columns, widths, strict=True)
    ]
    return "| " + " | ".join(cells) + " |"


def _html(table: pd.DataFrame) -> str:
    header = "".join(f"<th>{html.escape(str(column))}</th>" for column in table.columns)
    rows = [
        "<tr>" + "".join(f"<td>{html.escape(str(value))}</td>" for value in row) + "</tr>"
        for row in table.itertuples(index=False)
    ]
    return "\n".join(["<table>", f"<tr>{header}</tr>", *rows, "</table>"]) + "\n"
