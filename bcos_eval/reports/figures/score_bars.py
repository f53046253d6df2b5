"""Figure `leaderboard_bars`: mean box localisation of each method with its interval and chance level."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from bcos_eval.reports.methods import method_style, short_names
from bcos_eval.reports.results import Results
from bcos_eval.reports.tables.leaderboard import stored_methods
from bcos_eval.store.facts import MethodFacts

from .panels import (
    FigurePage,
    MissingDataError,
    Panel,
    counted,
    pages_of,
    panel_figure,
    panels,
    panels_per_page,
    write_heading,
)
from .style import GREY, LIGHTER, lightened, settings_sentence, write_settings

_METRICS = ("energy_pg", "pointing_game")
_HEIGHT_OF_BAR = 0.125
_HEIGHT_AROUND = 0.9
_BAR_WIDTH = 0.7
_CAPTION = (
    "Mean scores on the objects' boxes or masks, best first, with 95 % intervals over images. Dashed: the mean "
    "chance level of the same units."
)


def score_bar_pages(results: Results) -> list[FigurePage]:
    """Draw a panel for each dataset, model and preset of the energy pointing game and the pointing game.

    Bars are the means of the leaderboard, best first, whiskers their 95 % intervals, dashed marks the mean chance
    level of the same units.

    Raises:
        MissingDataError: If nothing of the kind is stored.
    """
    shards = [shard for shard in results.shards if shard.facts.metric.name in _METRICS]
    table = pd.DataFrame([row for row in results.rows if row["metric"] in _METRICS and row["n"]])
    if table.empty:
        raise MissingDataError(
            f"figure 'leaderboard_bars': '{results.named}' holds no scores of {' or '.join(_METRICS)}; make them "
            f"with `bcos-eval run --model MODEL --metric {','.join(_METRICS)} --out {results.folders[0]}`."
        )
    known = stored_methods(shards)
    drawn, methods = panels(table), {label: known[label] for label in table["method"]}
    called = short_names(methods.values())
    most = max(len(panel.units) for panel in drawn)
    height = _HEIGHT_AROUND + _HEIGHT_OF_BAR * most
    per_page, figures = panels_per_page(height), []
    for start in range(0, len(drawn), per_page):
        chunk = drawn[start : start + per_page]
        figure, axes = panel_figure(len(chunk), panel_height=height)
        for axis, panel in zip(axes, chunk, strict=True):
            _draw_panel(axis, panel, methods, called)
        handles = axes[0].get_legend_handles_labels()
        figure.legend(*handles, loc="outside lower center", ncols=2, handlelength=1.2)
        write_settings(figure, called)
        figures.append(figure)
    return pages_of("leaderboard_bars", figures, _CAPTION + settings_sentence(called))


def _draw_panel(
    axes: Axes, panel: Panel, methods: Mapping[str, MethodFacts], called: Mapping[MethodFacts, str]
) -> None:
    rows = panel.units.sort_values(["mean", "method"], ascending=[False, True])
    positions = np.arange(len(rows))
    colours = [method_style(methods[label]).colour for label in rows["method"]]
    # Lighter than the edge, so that the interval and the chance level show on dark colours too.
    faces = [lightened(colour, LIGHTER) for colour in colours]
    axes.barh(positions, rows["mean"], height=_BAR_WIDTH, color=faces, edgecolor=colours, linewidth=0.7)
    _draw_intervals(axes, rows, positions)
    axes.vlines(
        rows["chance"],
        positions - _BAR_WIDTH / 2,
        positions + _BAR_WIDTH / 2,
        colors="black",
        linestyles=(0, (2, 1)),
        linewidth=0.9,
        label="chance",
    )
    axes.set_yticks(positions, [called[methods[label]] for label in rows["method"]])
    axes.invert_yaxis()
    axes.set_xlim(0, 1)
    axes.set_xlabel(counted("mean score", rows["n"].tolist(), int(rows["n_stimuli"].min())))
    write_heading(axes, panel.heading, panel.subheading)


def _draw_intervals(axes: Axes, rows: pd.DataFrame, positions: np.ndarray) -> None:
    below, above = rows["mean"] - rows["ci_low"], rows["ci_high"] - rows["mean"]
    axes.errorbar(
        rows["mean"],
        positions,
        xerr=np.stack([below.clip(lower=0), above.clip(lower=0)]),
        fmt="none",
        label="95 % interval",
        ecolor=GREY,
        elinewidth=0.9,
        capsize=1.5,
        capthick=0.7,
    )
