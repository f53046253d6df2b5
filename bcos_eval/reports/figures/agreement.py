"""Figure `agreement`: which metrics put the methods of a model in the same order, as a heat map."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.image import AxesImage

from bcos_eval.errors import InputError
from bcos_eval.reports.comparison.agreement import Agreement, agreements, method_counts
from bcos_eval.reports.results import Results
from bcos_eval.reports.tables.table import LEADERBOARD_COLUMNS, UNKNOWN

from .panels import FigurePage, MissingDataError, file_name
from .style import (
    COLUMN_WIDTH,
    GREY,
    PAGE_WIDTH,
    SMALL_SIZE,
    TEXT_SIZE,
    new_figure,
    text_width,
)

# Red and blue, which readers with any colour vision tell apart, white at 0; blue agrees.
_COLOURS = "RdBu"
_DIAGONAL = "#DDDDDD"
_UNDEFINED = "#F4F4F4"
# Beyond this the colour is dark and the number in it white.
_DARK = 0.65
# Inches.
_LARGEST_CELL, _SMALLEST_CELL = 0.36, 0.14
_SMALLEST_CELL_WITH_TEXT = 0.23
_BAR_WIDTH, _BAR_PAD, _AROUND, _HEADING = 0.09, 0.08, 0.08, 0.56
_BAR_LABELS = 0.42
_TEXT_IN_CELL = 6.0
# The longest value, and how much of a cell it may fill.
_LONGEST_VALUE, _FILLED = len("−0.00"), 0.88
_COUNT_TO_VALUE = 0.75
_CAPTION = (
    "How far metrics put the methods in the same order: Spearman's ρ of the methods' mean scores below the "
    "diagonal, Kendall's τ above it, turned so that more is better; similar metrics lie side by side."
)


def agreement_pages(results: Results) -> list[FigurePage]:
    """Draw a heat map for each dataset and model: Spearman's ρ below the diagonal, Kendall's τ above it.

    Rankings are of the methods' means, turned so that more is better; metrics that agree lie side by side. The
    number of methods is in the heading, or in each cell where it differs.

    Raises:
        MissingDataError: If nowhere two metrics have 3 methods in common.
    """
    try:
        found = agreements(pd.DataFrame(results.rows, columns=list(LEADERBOARD_COLUMNS)))
    except InputError as error:
        raise MissingDataError(f"figure 'agreement': in '{results.named}' {error}") from error
    return [
        FigurePage(file_name("agreement", *agreement.about), _draw(agreement), _CAPTION) for agreement in found
    ]


def _draw(agreement: Agreement) -> Figure:
    n = len(agreement.labels)
    beside = text_width(max(len(label) for label in agreement.labels), SMALL_SIZE) + _AROUND
    beyond = _BAR_PAD + _BAR_WIDTH + _BAR_LABELS
    cell = _cell_side(n, beside + beyond)
    side = cell * n
    width, height = max(beside + side + beyond, COLUMN_WIDTH), _HEADING + side + beside
    figure = new_figure(width, height)
    # Everything is placed by hand: cells are squares of a known size, whatever the labels.
    figure.set_layout_engine("none")
    axes = figure.add_axes((beside / width, beside / height, side / width, side / height))
    image = _draw_cells(axes, agreement)
    if cell >= _SMALLEST_CELL_WITH_TEXT:
        _write_values(axes, agreement, size=min(_TEXT_IN_CELL, _FILLED * cell / text_width(_LONGEST_VALUE, 1)))
    bar = figure.add_axes(((beside + side + _BAR_PAD) / width, beside / height, _BAR_WIDTH / width, side / height))
    figure.colorbar(image, cax=bar, ticks=[-1, -0.5, 0, 0.5, 1]).outline.set_linewidth(0)
    bar.tick_params(length=2, pad=2)
    _write_heading(figure, agreement, x=_AROUND / width, top=1 - 0.06 / height)
    return figure


def _cell_side(n: int, around: float) -> float:
    """Cells that fill a column if they are large enough for numbers there, else those that fill the page."""
    in_column, in_page = ((width - around) / n for width in (COLUMN_WIDTH, PAGE_WIDTH))
    if in_column >= _SMALLEST_CELL_WITH_TEXT:
        return min(in_column, _LARGEST_CELL)
    return min(max(in_page, _SMALLEST_CELL), _LARGEST_CELL)


def _draw_cells(axes: Axes, agreement: Agreement) -> AxesImage:
    n = len(agreement.labels)
    axes.set_facecolor(_UNDEFINED)
    image = axes.imshow(np.ma.masked_invalid(_shown(agreement)), cmap=_COLOURS, vmin=-1, vmax=1, aspect="auto")
    for place in range(n):
        axes.axvspan(place - 0.5, place + 0.5, 1 - (place + 1) / n, 1 - place / n, color=_DIAGONAL, linewidth=0)
    axes.set_xticks(range(n), agreement.labels, rotation=90)
    axes.set_yticks(range(n), agreement.labels)
    axes.set_xticks(np.arange(n + 1) - 0.5, minor=True)
    axes.set_yticks(np.arange(n + 1) - 0.5, minor=True)
    axes.grid(which="minor", color="white", linewidth=0.8)
    axes.tick_params(which="both", length=0, pad=3)
    axes.spines[:].set_visible(False)
    return image


def _shown(agreement: Agreement) -> np.ndarray:
    """ρ below the diagonal, τ above it, nothing on it."""
    shown = np.where(np.tri(len(agreement.labels), dtype=bool), agreement.spearman, agreement.kendall)
    np.fill_diagonal(shown, np.nan)
    return shown


def _write_values(axes: Axes, agreement: Agreement, *, size: float) -> None:
    shown, counts = _shown(agreement), agreement.n_methods
    uneven = np.ptp(counts[~np.eye(len(counts), dtype=bool)]) > 0
    for (i, j), value in np.ndenumerate(shown):
        if i == j:
            continue
        colour = "white" if abs(value) > _DARK else "black"
        text = UNKNOWN if np.isnan(value) else f"{value:.2f}".replace("-", "−")
        raised = -0.12 if uneven else 0.0
        axes.text(j, i + raised, text, ha="center", va="center", color=colour, fontsize=size)
        if uneven:
            axes.text(
                j,
                i + 0.28,
                f"n={counts[i, j]}",
                ha="center",
                va="center",
                color=colour,
                fontsize=size * _COUNT_TO_VALUE,
            )


def _write_heading(figure: Figure, agreement: Agreement, *, x: float, top: float) -> None:
    dataset, model = agreement.about
    line = 1.35 * TEXT_SIZE / 72 / figure.get_figheight()
    figure.text(x, top, model, fontsize=TEXT_SIZE, va="top")
    below = f"{dataset}, {method_counts(agreement)}\nbelow the diagonal Spearman’s ρ, above it Kendall’s τ"
    figure.text(x, top - line, below, fontsize=SMALL_SIZE, va="top", color=GREY, linespacing=1.3)
