"""Figure `localisation`: distributions of the grid pointing game, as figure 6 of the B-cos v2 paper shows them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from numpy.typing import NDArray

from bcos_eval.reports.methods import method_style, short_names
from bcos_eval.reports.results import Results
from bcos_eval.reports.tables.leaderboard import stored_methods, stored_units
from bcos_eval.store.facts import MethodFacts

from .panels import (
    FigurePage,
    MissingDataError,
    Panel,
    counted,
    first_in_row,
    last_in_row,
    pages_of,
    panel_figure,
    panels,
    panels_per_page,
    write_heading,
)
from .style import GREY, LIGHTER, SMALL_SIZE, lightened, settings_sentence, text_width, write_settings

_METRIC = "grid_pg"
_COLUMNS = ("dataset", "model", "weights", "method", "metric", "preset", "score")
# Inches, without the names of the methods.
_PANEL_HEIGHT = 2.15
# A tilted name is so much less high than it is long.
_TILTED = 0.71
_BOX_WIDTH = 0.62
_PERFECT = 1.0
# Width of the narrowest panel's axes in inches, and how many tilted names it has room for.
_LEVEL_ROOM = 2.4
_MOST_TILTED = 28
_CAPTION = (
    "Grid pointing game: the share of positive attribution inside the target's cell. Boxes reach from the first "
    "to the third quartile of the cells, lines are medians, whiskers end at the last cell within 1.5 box lengths; "
    "methods are ordered by their medians. Dashed: a perfect map, and a map that knows nothing."
)


def localisation_pages(results: Results) -> list[FigurePage]:
    """Draw a panel for each dataset, model and preset of the grid pointing game.

    Boxes reach from the first to the third quartile of the units, the line in them is the median, whiskers end at
    the last unit within 1.5 box lengths. Methods are sorted by their median, best first. Units without a score
    are left out, and the axis says how many are shown.

    Raises:
        MissingDataError: If nothing of the kind is stored.
    """
    shards = [shard for shard in results.shards if shard.facts.metric.name == _METRIC]
    units = stored_units(shards, _COLUMNS)
    if units.empty or not np.isfinite(units["score"]).any():
        raise MissingDataError(
            f"figure 'localisation': '{results.named}' holds no scores of {_METRIC}; make them with "
            f"`bcos-eval run --model MODEL --metric {_METRIC} --out {results.folders[0]}`."
        )
    drawn = [panel for panel in panels(units) if np.isfinite(panel.units["score"]).any()]
    methods = stored_methods(shards)
    called = short_names(methods.values())
    names = max(text_width(len(name), SMALL_SIZE) for name in called.values())
    height = _PANEL_HEIGHT + _TILTED * names
    per_page, figures = panels_per_page(height), []
    for start in range(0, len(drawn), per_page):
        chunk = drawn[start : start + per_page]
        figure, axes = panel_figure(len(chunk), panel_height=height)
        for axis, panel in zip(axes, chunk, strict=True):
            _draw_panel(axis, panel, methods, called)
        write_settings(figure, called)
        for axis in first_in_row(axes):
            axis.set_ylabel("localisation score")
        for axis in last_in_row(axes):
            _name_levels(axis)
        figures.append(figure)
    return pages_of("localisation", figures, _CAPTION + settings_sentence(called))


def scores_by_median(units: pd.DataFrame) -> list[tuple[str, NDArray[np.float64]]]:
    """Return the defined scores of each method, the method with the highest median first, ties by name."""
    defined = units[np.isfinite(units["score"])]
    scores = [(str(method), rows["score"].to_numpy(np.float64)) for method, rows in defined.groupby("method")]
    return sorted(scores, key=lambda named: (-float(np.median(named[1])), named[0]))


def _draw_panel(
    axes: Axes, panel: Panel, methods: Mapping[str, MethodFacts], called: Mapping[MethodFacts, str]
) -> None:
    scores = scores_by_median(panel.units)
    drawn = [methods[label] for label, _ in scores]
    _draw_boxes(axes, drawn, [values for _, values in scores])
    _write_names(axes, [called[method] for method in drawn])
    _draw_level(axes, _PERFECT, "perfect")
    for chance in np.unique(panel.units["chance"].dropna().to_numpy(np.float64).round(9)):
        _draw_level(axes, float(chance), "chance")
    axes.set_ylim(-0.02, 1.04)
    axes.set_yticks(np.linspace(0, 1, 6))
    defined = panel.units[np.isfinite(panel.units["score"])]
    fewest = int(defined.groupby("method")["stimulus"].nunique().min())
    axes.set_xlabel(counted("method", [len(values) for _, values in scores], fewest))
    write_heading(axes, panel.heading, panel.subheading)


def _draw_boxes(axes: Axes, methods: Sequence[MethodFacts], scores: Sequence[NDArray[np.float64]]) -> None:
    drawn = axes.boxplot(
        scores,
        widths=_BOX_WIDTH,
        showfliers=False,
        patch_artist=True,
        medianprops={"color": "black", "linewidth": 1.1},
        whiskerprops={"color": GREY, "linewidth": 0.7},
        capprops={"color": GREY, "linewidth": 0.7},
    )
    for method, box in zip(methods, drawn["boxes"], strict=True):
        colour = method_style(method).colour
        # The median shows on dark colours too if the box is lighter than its edge.
        box.set(facecolor=lightened(colour, LIGHTER), edgecolor=colour, linewidth=0.9)
    axes.set_xlim(0.4, len(methods) + 0.6)


def _draw_level(axes: Axes, height: float, name: str) -> None:
    axes.axhline(height, color=GREY, linestyle="--", linewidth=0.7, zorder=0, label=name)


def _name_levels(axes: Axes) -> None:
    """Write beside the panel, where no box can be, what its dashed lines are."""
    for line in axes.get_lines():
        if line.get_linestyle() == "--":
            axes.annotate(
                str(line.get_label()),
                xy=(1, np.asarray(line.get_ydata())[0]),
                xycoords=("axes fraction", "data"),
                xytext=(2, 0),
                textcoords="offset points",
                va="center",
                fontsize=SMALL_SIZE,
                color=GREY,
            )


def _write_names(axes: Axes, methods: Sequence[str]) -> None:
    """Write the methods below their boxes, tilted where they would touch."""
    longest = max(text_width(len(method), SMALL_SIZE) for method in methods)
    level = longest * len(methods) < _LEVEL_ROOM
    # Many names would touch even tilted.
    angle = 45 if len(methods) <= _MOST_TILTED else 90
    turn: Any = {} if level else {"rotation": angle, "ha": "right", "rotation_mode": "anchor"}
    if angle == 90:
        turn["va"] = "center"
    axes.set_xticks(range(1, len(methods) + 1), methods, **turn)
