"""Figures of what scores cost: `accuracy_localisation` beside the accuracy, `cost_quality` beside the time."""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import NullFormatter

from bcos_eval.contract.plugins import default_presets, metrics
from bcos_eval.reports.methods import Line, method_order, method_style, short_names
from bcos_eval.reports.results import Results
from bcos_eval.reports.tables.leaderboard import stored_methods
from bcos_eval.reports.tables.table import ARROWS, Row, metric_name, model_names, told_apart
from bcos_eval.store.facts import MethodFacts

from .panels import (
    FigurePage,
    MissingDataError,
    file_name,
    first_in_row,
    pages_of,
    panel_figure,
    panels_per_page,
    write_heading,
)
from .style import COLUMN_WIDTH, GREY, PAGE_WIDTH, SMALL_SIZE, settings_sentence

_METRIC = "grid_pg"
_BCOS, _BCOS_METHOD = "bcos_", "bcos"
_PANEL_HEIGHT = 2.7
# Inches: a column of a legend, a line of it, and how many lines a panel of the height above has room for.
_LEGEND_WIDTH, _LEGEND_LINE, _LEGEND_LINES = 1.15, 0.15, 4
# Markers by the line of a method, so that figures without lines tell it by the same pair of colour and shape.
_MARKERS: Mapping[Line, str] = {"-": "o", "--": "s", ":": "^", "-.": "D"}
_OTHER_MARKER = "P"
_CARDS = Path(__file__).parents[2] / "models" / "weights"
_PERCENT = 100

_ACCURACY_CAPTION = (
    "Accuracy on the validation images against localisation (grid pointing game, mean with 95 % interval): of "
    "each architecture the B-cos network explained by itself, joined to the conventional network by the explainer "
    "that localises best on it, which is named. Accuracies are those of the weights' cards."
)
_COST_CAPTION = (
    "Mean score against the seconds that one explained target took on the machine of the run, controls left out; "
    "bars are 95 % intervals."
)


@dataclass(frozen=True, slots=True)
class _Point:
    """A network with its accuracy in percent, and the row of its localisation."""

    accuracy: float
    row: Row


def accuracy_localisation_pages(results: Results) -> list[FigurePage]:
    """Draw accuracy against localisation, a panel for each dataset and preset, B-cos and standard twins joined.

    Raises:
        MissingDataError: If nowhere the accuracy of a network with localisation scores is known.
    """
    rows = [row for row in told_apart(results.rows) if row["metric"] == _METRIC and not math.isnan(row["mean"])]
    accuracies = {key: _accuracy(*key) for key in {(r["dataset"], r["model"], r["weights"]) for r in rows}}
    panels: dict[tuple[str, str], dict[str, _Point]] = {}
    for key, known in sorted(accuracies.items()):
        for metric in dict.fromkeys(metric_name(row) for row in rows):
            best = _chosen(
                [r for r in rows if (r["dataset"], r["model"], r["weights"]) == key and metric_name(r) == metric]
            )
            if known is not None and best is not None:
                panels.setdefault((key[0], metric), {})[key[1]] = _Point(known, best)
    if not panels:
        raise MissingDataError(
            f"figure 'accuracy_localisation': '{results.named}' holds no scores of {_METRIC} on weights whose "
            f"accuracy is known; make some with `bcos-eval run --model resnet18,bcos_resnet18 --metric {_METRIC} "
            f"--out {results.folders[0]}`."
        )
    figures, per_page, drawn = [], panels_per_page(_PANEL_HEIGHT), list(panels.items())
    for start in range(0, len(drawn), per_page):
        chunk = drawn[start : start + per_page]
        figure, axes = panel_figure(len(chunk), panel_height=_PANEL_HEIGHT)
        for axis, ((dataset, metric), points) in zip(axes, chunk, strict=True):
            _draw_points(axis, points)
            write_heading(axis, dataset, metric)
        for axis in first_in_row(axes):
            axis.set_ylabel("localisation score")
        figures.append(figure)
    return pages_of("accuracy_localisation", figures, _ACCURACY_CAPTION)


def cost_quality_pages(results: Results) -> list[FigurePage]:
    """Draw mean score against seconds per target, a panel for each network and a page for each headline metric.

    Of a metric's presets the recommended one is drawn, or else the one with most rows: they differ in the score
    and hardly in the time.

    Raises:
        MissingDataError: If no times are stored.
    """
    methods = stored_methods(results.shards)
    timed = [
        row
        for row in told_apart(results.rows)
        if row.get("seconds_per_unit", 0) > 0 and not math.isnan(row["mean"]) and not row.get("is_control", False)
    ]
    if not timed:
        raise MissingDataError(
            f"figure 'cost_quality': '{results.named}' holds no scores with times; make some with "
            f"`bcos-eval run --model MODEL --metric {_METRIC} --out {results.folders[0]}`."
        )
    # The metrics that a first table shows; the leaderboard and the page have all.
    headline = {metric.info.name for metric in metrics().values() if metric.info.headline}
    timed = _of_one_preset([row for row in timed if row["metric"] in headline] or timed)
    names, pages = model_names(results.rows), []
    for metric, of_metric in groupby(sorted(timed, key=metric_name), key=metric_name):
        by_model: dict[tuple[str, str, str], list[Row]] = {}
        for row in of_metric:
            by_model.setdefault((row["dataset"], row["model"], row["weights"]), []).append(row)
        drawn = sorted(by_model.items())
        shown = method_order({methods[row["method"]] for _, own in drawn for row in own})
        width = COLUMN_WIDTH if len(drawn) == 1 else PAGE_WIDTH
        n_columns = max(1, int(width / _LEGEND_WIDTH))
        # The first lines of a legend fit below any panel; of more the page must know.
        legend = max(0.0, (math.ceil(len(shown) / n_columns) - _LEGEND_LINES) * _LEGEND_LINE)
        figures, per_page = [], panels_per_page(_PANEL_HEIGHT, below=legend)
        for start in range(0, len(drawn), per_page):
            chunk = drawn[start : start + per_page]
            figure, axes = panel_figure(len(chunk), panel_height=_PANEL_HEIGHT, below=legend)
            for axis, (key, own) in zip(axes, chunk, strict=True):
                _draw_costs(axis, own, methods)
                write_heading(axis, names[key], f"{key[0]}, {metric}")
                axis.set_xlabel("seconds per target")
            _share_limits(axes, [row["seconds_per_unit"] for _, own in drawn for row in own])
            for axis in first_in_row(axes):
                axis.set_ylabel(f"mean score {ARROWS[drawn[0][1][0]['direction']]}")
            handles = [axes[0].plot([], [], **_look(method))[0] for method in shown]
            labels = list(short_names(shown).values())
            figure.legend(handles, labels, loc="outside lower center", ncols=n_columns, handletextpad=0.1)
            figures.append(figure)
        pages += pages_of(file_name("cost_quality", metric), figures, _COST_CAPTION + settings_sentence(shown))
    return pages


def _of_one_preset(rows: Sequence[Row]) -> list[Row]:
    counts = Counter((row["metric"], row["preset"]) for row in rows)
    shown: dict[str, str] = {}
    for metric, preset in sorted(counts, key=lambda key: (-counts[key], key)):
        is_recommended = preset.partition("(")[0] == default_presets().get(metric)
        if metric not in shown or is_recommended:
            shown[metric] = preset
    return [row for row in rows if row["preset"] == shown[row["metric"]]]


def _accuracy(dataset: str, model: str, weights: str) -> float | None:
    """Return the accuracy in percent that the card of shipped weights states; None for other weights."""
    path = _CARDS / f"{model}-{dataset}.json"
    if not path.is_file():
        return None
    card = json.loads(path.read_text(encoding="utf-8"))
    return _PERCENT * float(card["val_top1"]) if str(card.get("sha256", "")).startswith(weights) else None


def _chosen(rows: Sequence[Row]) -> Row | None:
    """Return a B-cos network's own explanation, of another network the explainer that localises best."""
    own = [row for row in rows if row["model"].startswith(_BCOS) and row["method"] == _BCOS_METHOD]
    others = [row for row in rows if not row["model"].startswith(_BCOS) and not row.get("is_control", False)]
    return max(own or others, key=lambda row: float(row["mean"]), default=None)


def _draw_points(axes: Axes, points: Mapping[str, _Point]) -> None:
    for name, point in points.items():
        twin = points.get(f"{_BCOS}{name}")
        if twin is not None:
            ends = ([point.accuracy, twin.accuracy], [point.row["mean"], twin.row["mean"]])
            axes.plot(*ends, color=GREY, linewidth=0.6, zorder=0)
    for name, point in points.items():
        is_bcos = name.startswith(_BCOS)
        label = name.removeprefix(_BCOS) if is_bcos else point.row["method"].partition("(")[0]
        _draw_point(axes, point.accuracy, point.row, _look(MethodFacts(point.row["method"].partition("(")[0])))
        axes.annotate(
            label,
            (point.accuracy, point.row["mean"]),
            xytext=(0, 5),
            textcoords="offset points",
            ha="center",
            fontsize=SMALL_SIZE - 1,
            color="black" if is_bcos else GREY,
        )
    accuracies = [point.accuracy for point in points.values()]
    room = max(1.0, 0.18 * (max(accuracies) - min(accuracies)))
    axes.set_xlim(min(accuracies) - room, min(max(accuracies) + room, _PERCENT))
    axes.set_ylim(0, 1.08)
    axes.set_xlabel("accuracy in %")


def _draw_costs(axes: Axes, rows: Sequence[Row], methods: Mapping[str, MethodFacts]) -> None:
    for row in rows:
        _draw_point(axes, row["seconds_per_unit"], row, _look(methods[row["method"]]))
    axes.set_xscale("log")
    axes.xaxis.set_minor_formatter(NullFormatter())


def _share_limits(axes: Sequence[Axes], seconds: Sequence[float]) -> None:
    decades = np.log10(seconds)
    heights = [end for axis in axes for end in axis.get_ylim()]
    for axis in axes:
        axis.set_xlim(10 ** np.floor(decades.min()), 10 ** np.ceil(decades.max() + 1e-9))
        axis.set_ylim(min(heights), max(heights))


def _draw_point(axes: Axes, x: float, row: Row, look: Mapping[str, Any]) -> None:
    if not math.isnan(row["ci_low"]):
        axes.vlines(x, row["ci_low"], row["ci_high"], colors=str(look["color"]), linewidth=0.7, alpha=0.6)
    axes.plot([x], [row["mean"]], **look)


def _look(method: MethodFacts) -> dict[str, Any]:
    style = method_style(method)
    return {
        "color": style.colour,
        "marker": _MARKERS.get(style.line, _OTHER_MARKER),
        "markersize": 4.5,
        "markeredgecolor": "white",
        "markeredgewidth": 0.4,
        "linestyle": "none",
    }
