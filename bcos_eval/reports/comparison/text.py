"""Comparisons as text: Markdown to read, CSV and JSON to compute with."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from typing import Any, Literal, cast

import pandas as pd

from bcos_eval.reports.tables.table import (
    ARROWS,
    FEW_STIMULI,
    FEW_STIMULI_NOTE,
    STATUS_COLUMNS,
    UNKNOWN,
    Row,
    counted,
    markdown,
    number,
    told_apart,
)

from .report import ComparedTable, ComparisonReport

ComparisonFormat = Literal["md", "csv", "json"]

_TEXT_COLUMNS = frozenset({"dataset", "model", "metric", "A", "B", "better", "no plain score"})
_SMALLEST_P = 0.001
_HIDDEN = 0.0005

LEGEND = """\
A − B: mean difference of the scores on the n units that both have, with its 95 % interval over stimuli (t
interval, lengthened for skewness; a dash for fewer than 8 stimuli and where all differ equally). p: test of a mean
difference of 0 that belongs to the interval; Holm: the same, corrected for all rows of the table. Wilcoxon:
signed-rank test, uncorrected, for information only, since skewed differences of mean 0 fail it. r: matched-pairs
rank-biserial correlation, 1 where A is higher on every stimulus, −1 where B is. flips: share of 2000 resamples of
whole stimuli in which the order of the means turns round. better: named where Holm's p is below 0.05, the interval
leaves out 0 and fewer than half of the resamples flip. removed: units with an undefined score on either side.
"""


def comparison_text(report: ComparisonReport, style: ComparisonFormat) -> str:
    """Return a report as text; only Markdown is rounded, undefined numbers are empty in CSV and null in JSON."""
    if style == "csv":
        return str(pd.concat([table.rows for table in report.tables]).to_csv(index=False))
    if style == "json":
        return json.dumps(_plain(report), indent=1, ensure_ascii=False, allow_nan=False) + "\n"
    is_few = any((table.rows["n_clusters"] < FEW_STIMULI).any() for table in report.tables)
    return "\n".join([*map(_section, _told_apart(report.tables)), LEGEND + (FEW_STIMULI_NOTE if is_few else "")])


def _plain(report: ComparisonReport) -> dict[str, Any]:
    return {
        "tables": [
            {
                "best": None if table.best is None else asdict(table.best),
                "comparisons": json.loads(table.rows.to_json(orient="records", double_precision=15)),
            }
            for table in report.tables
        ],
        "notes": list(report.notes),
    }


def _told_apart(tables: Sequence[ComparedTable]) -> list[ComparedTable]:
    """Return tables whose presets name their pool of images where rows of any table have others."""
    keys = ["dataset", "metric", "preset", "pool"]
    records = pd.concat([table.rows[keys] for table in tables]).to_dict("records")
    rows = iter(told_apart(cast("list[Row]", records)))
    presets = [
        [f"{row['preset']}{row.get('shown_pool', '')}" for _, row in zip(table.rows.index, rows, strict=False)]
        for table in tables
    ]
    return [
        replace(table, rows=table.rows.assign(preset=names)) for table, names in zip(tables, presets, strict=True)
    ]


def _section(table: ComparedTable) -> str:
    rows = table.rows
    readable = _readable(rows)
    if table.best is None:
        return _markdown(readable)
    heading = f"### {rows['dataset'].iloc[0]}, {rows['model_a'].iloc[0]}, {readable['metric'].iloc[0]}"
    return f"{heading}\n\n{_leader(table)}\n\n{_markdown(readable.drop(columns=['dataset', 'model', 'metric']))}"


def _leader(table: ComparedTable) -> str:
    best = table.best
    if best is None:
        return ""
    first = f"{best.best} ({number(best.best_mean)}), best in {_percent(best.best_share)} of the resamples"
    second = f"{best.runner_up} ({number(best.runner_up_mean)}), best in {_percent(best.runner_up_share)}"
    return f"Best of {_n_methods(table.rows)} methods on {best.n} units: {first}; next {second}."


def _n_methods(rows: pd.DataFrame) -> int:
    return len({*rows["method_a"], *rows["method_b"]})


def _readable(rows: pd.DataFrame) -> pd.DataFrame:
    across_models = (rows["model_a"] != rows["model_b"]).any()
    sides = {
        side: rows[f"model_{side}"] + ":" + rows[f"method_{side}"] if across_models else rows[f"method_{side}"]
        for side in "ab"
    }
    models = {} if across_models else {"model": rows["model_a"]}
    records = rows.to_dict("records")
    return pd.DataFrame(
        {
            "dataset": rows["dataset"],
            **models,
            "metric": [f"{row['metric']}/{row['preset']} {ARROWS[row['direction']]}" for row in records],
            "A": sides["a"],
            "B": sides["b"],
            "n": [counted(row["n"], row["n_clusters"]) for row in records],
            "mean A": [number(row["mean_a"]) for row in records],
            "mean B": [number(row["mean_b"]) for row in records],
            "A − B": [_difference(row["difference"]) for row in records],
            "95 % interval": [_interval(row["ci_low"], row["ci_high"]) for row in records],
            "p": [_p_value(row["p"]) for row in records],
            "Holm": [_p_value(row["p_holm"]) for row in records],
            "Wilcoxon": [_p_value(row["p_wilcoxon"]) for row in records],
            "r": [number(row["rank_biserial"]) for row in records],
            "flips": [_percent(row["flip_share"]) for row in records],
            "better": [
                sides[row["better"]].iloc[i] if row["better"] else UNKNOWN for i, row in enumerate(records)
            ],
            "removed": [str(row["n_undefined"]) for row in records],
            "unpaired": [str(row["n_unpaired"]) for row in records],
            "no plain score": [_flaws(row) for row in records],
        },
        dtype=str,
    )


def _markdown(readable: pd.DataFrame) -> str:
    return markdown(
        {str(name): list(texts) for name, texts in readable.items()},
        numeric=frozenset(readable.columns) - _TEXT_COLUMNS,
    )


def _difference(value: float) -> str:
    """A difference that three digits would hide is shown by its size."""
    return number(value) if value == 0 or not abs(value) < _HIDDEN else f"{value:.0e}"


def _interval(low: float, high: float) -> str:
    return UNKNOWN if pd.isna(low) else f"[{_difference(low)}, {_difference(high)}]"


def _p_value(p: float) -> str:
    if pd.isna(p):
        return UNKNOWN
    return f"<{_SMALLEST_P}" if p < _SMALLEST_P else f"{p:.3f}"


def _percent(share: float) -> str:
    return UNKNOWN if pd.isna(share) else f"{100 * share:.1f} %"


def _flaws(row: Mapping[Any, Any]) -> str:
    """Zero, constant and non-finite maps, empty regions and skipped images of each side, in words."""
    sides = []
    for side in "ab":
        counted = {name: row[f"{column}_{side}"] for column, name in STATUS_COLUMNS.items()}
        found = [f"{n} {name.replace('_', ' ')}" for name, n in counted.items() if n]
        sides += [f"{side.upper()}: {', '.join(found)}"] if found else []
    return "; ".join(sides) or UNKNOWN
