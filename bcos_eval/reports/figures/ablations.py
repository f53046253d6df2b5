"""Figures of trained series: `b_exponent` over the exponent B, `norms` over kinds of normalisation.

They are drawn from a table `scores.csv` in a folder of results, with a row per network and metric: `b`, `norm`,
`val_top1` (in [0, 1]), `metric`, `mean`, `low`, `high` (the ends of the 95 % interval) and `n`. Published values
are taken from the tables beside the folder, `../published/*.csv`, from rows whose settings name a `b`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd
from matplotlib.axes import Axes

from bcos_eval.errors import InputError
from bcos_eval.reports.results import Results
from bcos_eval.reports.tables.table import FEW_STIMULI

from .panels import FigurePage, MissingDataError, panel_figure, write_heading
from .style import GREY, SMALL_SIZE

TABLE_NAME = "scores.csv"
COLUMNS = ("b", "norm", "val_top1", "metric", "mean", "low", "high", "n")
_PERCENT = 100
_PANEL_HEIGHT = 2.3
# Of the second series on, which readers with any colour vision tell apart (Okabe & Ito).
_COLOURS = ("#D55E00", "#0072B2", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
_LINES = ("-", "--", "-.", ":", "-", "--", "-.")
_MARKERS = ("o", "s", "^", "D", "v", "P", "X")

_B_CAPTION = (
    "Accuracy and localisation of B-cos networks over the exponent B; each point is a network of its own. Bars "
    "are 95 % intervals over stimuli."
)
_NORM_CAPTION = (
    "Accuracy and localisation of B-cos networks that differ in their normalisation alone, for each exponent B. "
    "Bars are 95 % intervals over stimuli."
)


def b_exponent_pages(results: Results) -> list[FigurePage]:
    """Draw accuracy and each metric over B, a line per norm, published values dotted beside them.

    Raises:
        MissingDataError: If no folder has a table of networks with several exponents.
        InputError: If a table lacks a column.
    """
    table = _table(results, "b_exponent")
    if table["b"].nunique() < 2:
        raise _missing(results, "b_exponent", "networks with several exponents")
    published = _published(results)
    metrics = list(dict.fromkeys(table["metric"]))
    figure, axes = panel_figure(1 + len(metrics), panel_height=_PANEL_HEIGHT)
    for at, (norm, own) in enumerate(table.groupby("norm", sort=True)):
        look: dict[str, Any] = {
            "color": _COLOURS[at % 7],
            "linestyle": _LINES[at % 7],
            "marker": _MARKERS[at % 7],
            "markersize": 3.5,
        }
        networks = own.drop_duplicates("b").sort_values("b")
        axes[0].plot(networks["b"], _PERCENT * networks["val_top1"], label=str(norm), **look)
        for axis, metric in zip(axes[1:], metrics, strict=True):
            rows = own[own["metric"] == metric].sort_values("b")
            axis.plot(rows["b"], rows["mean"], label=str(norm), **look)
            _draw_intervals(axis, rows["b"].tolist(), rows, str(look["color"]))
    for axis, metric in zip(axes, ("top1", *metrics), strict=True):
        rows = published[published["metric"] == metric.partition("/")[0]]
        if len(rows):
            values = rows["value"] * (_PERCENT if metric == "top1" else 1)
            label = "published, " + ", ".join(dict.fromkeys(rows["dataset"]))
            axis.plot(rows["b"], values, color=GREY, linestyle=":", marker="x", markersize=4, label=label)
    _finish(axes, metrics, table)
    for axis in axes:
        axis.set_xlabel("exponent B")
    handles = {label: line for a in axes for line, label in zip(*a.get_legend_handles_labels(), strict=True)}
    figure.legend(handles.values(), handles.keys(), loc="outside lower center", ncols=min(4, len(handles)))
    sources = "; ".join(dict.fromkeys(published["source"])) if len(published) else ""
    return [FigurePage("b_exponent", figure, _B_CAPTION + (f" Published: {sources}." if sources else ""))]


def norm_pages(results: Results) -> list[FigurePage]:
    """Draw accuracy and each metric by kind of norm, for each exponent that has several.

    Raises:
        MissingDataError: If no folder has a table of networks with several norms of one exponent.
        InputError: If a table lacks a column.
    """
    table = _table(results, "norms")
    several = table.groupby("b")["norm"].nunique()
    exponents = sorted(several.index[several > 1])
    if not exponents:
        raise _missing(results, "norms", "networks of one exponent with several norms")
    table = table[table["b"].isin(exponents)]
    norms, metrics = sorted(set(table["norm"])), list(dict.fromkeys(table["metric"]))
    figure, axes = panel_figure(1 + len(metrics), panel_height=_PANEL_HEIGHT)
    for at, b in enumerate(exponents):
        own = table[table["b"] == b]
        shift = 0.15 * (at - (len(exponents) - 1) / 2)
        look: dict[str, Any] = {
            "color": _COLOURS[at % 7],
            "linestyle": "none",
            "marker": _MARKERS[at % 7],
            "markersize": 4,
        }
        networks = own.drop_duplicates("norm")
        places = [norms.index(norm) + shift for norm in networks["norm"]]
        axes[0].plot(places, _PERCENT * networks["val_top1"], label=f"B = {b:g}", **look)
        for axis, metric in zip(axes[1:], metrics, strict=True):
            rows = own[own["metric"] == metric]
            places = [norms.index(norm) + shift for norm in rows["norm"]]
            axis.plot(places, rows["mean"], label=f"B = {b:g}", **look)
            _draw_intervals(axis, places, rows, str(look["color"]))
    _finish(axes, metrics, table)
    for axis in axes:
        axis.set_xticks(range(len(norms)), [str(norm).replace("_", "\n") for norm in norms])
        axis.set_xlim(-0.5, len(norms) - 0.5)
    handles, labels = axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=min(4, len(labels)))
    return [FigurePage("norms", figure, _NORM_CAPTION)]


def _table(results: Results, name: str) -> pd.DataFrame:
    found = [pd.read_csv(folder / TABLE_NAME) for folder in results.folders if (folder / TABLE_NAME).is_file()]
    if not found:
        raise _missing(results, name, f"a table '{TABLE_NAME}'")
    table = pd.concat(found, ignore_index=True)
    lacking = [column for column in COLUMNS if column not in table]
    if lacking:
        raise InputError(
            f"'{TABLE_NAME}' in '{results.named}' lacks {', '.join(lacking)}; it needs {', '.join(COLUMNS)}."
        )
    return table


def _missing(results: Results, name: str, what: str) -> MissingDataError:
    return MissingDataError(
        f"figure '{name}': '{results.named}' holds no {what.removeprefix('a ')}; it is drawn from a folder with a "
        f"table '{TABLE_NAME}' of trained networks, such as `bcos-eval figures results/b_exponent --only {name}`."
    )


def _published(results: Results) -> pd.DataFrame:
    """Return published values over B: `b`, `dataset`, `metric`, `value`, `source`."""
    found: list[dict[str, object]] = []
    for path in sorted({path for folder in results.folders for path in _tables_beside(folder)}):
        for row in pd.read_csv(path, dtype=str, keep_default_na=False).to_dict("records"):
            settings = dict(part.split("=", 1) for part in str(row.get("settings", "")).split(";") if "=" in part)
            if "b" in settings and row.get("quantity") == "mean":
                known = {key: row[key] for key in ("dataset", "metric", "source")}
                found.append({"b": float(settings["b"]), "value": float(row["value"]), **known})
    table = pd.DataFrame(found, columns=["b", "dataset", "metric", "value", "source"])
    return table.sort_values("b")


def _tables_beside(folder: Path) -> list[Path]:
    return sorted((folder.resolve().parent / "published").glob("*.csv"))


def _draw_intervals(axes: Axes, places: Sequence[float], rows: pd.DataFrame, colour: str) -> None:
    for place, low, high in zip(places, rows["low"], rows["high"], strict=True):
        if not math.isnan(low):
            axes.vlines(place, low, high, colors=colour, linewidth=0.8)


def _finish(axes: Sequence[Axes], metrics: Sequence[str], table: pd.DataFrame) -> None:
    axes[0].set_ylabel("accuracy in %")
    write_heading(axes[0], "accuracy", "validation images")
    for axis, metric in zip(axes[1:], metrics, strict=True):
        counts = table.loc[table["metric"] == metric, "n"]
        few = " (fewer than 30)" if counts.min() < FEW_STIMULI else ""
        n = f"{counts.min():g}" if counts.nunique() == 1 else f"{counts.min():g} to {counts.max():g}"
        write_heading(axis, metric, f"n = {n}{few}")
        axis.set_ylabel("mean score", fontsize=SMALL_SIZE)
