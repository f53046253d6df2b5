"""What figures with one panel per dataset and model share: their data, their layout, their headings."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from bcos_eval.errors import InputError
from bcos_eval.reports.tables.table import FEW_STIMULI

from .style import COLUMN_WIDTH, GREY, PAGE_HEIGHT, PAGE_WIDTH, SMALL_SIZE, TEXT_SIZE, new_figure

PANEL_COLUMNS = ("dataset", "model", "weights", "metric", "preset", "pool")

_MOST_IN_A_ROW = 2
_UNSAFE_IN_FILE_NAME = re.compile(r"[^A-Za-z0-9._-]+")
# Weights are told apart by the beginning of their digest.
_WEIGHTS_CHARACTERS = 12


class MissingDataError(InputError):
    """The store does not hold what a figure shows."""


@dataclass(frozen=True, slots=True)
class FigurePage:
    """A drawn figure, the name of its files without suffix, and what is written below it in a paper."""

    name: str
    figure: Figure
    caption: str


def file_name(*parts: str) -> str:
    """Return the name of a page's files from what tells it apart, without what file systems refuse.

    Example:
        >>> file_name("perturbation", "pixel_deletion/default")
        'perturbation-pixel_deletion_default'
    """
    return _UNSAFE_IN_FILE_NAME.sub("_", "-".join(parts))


def pages_of(name: str, figures: Sequence[Figure], caption: str) -> list[FigurePage]:
    """Return the pages of a figure that takes one or several; from the second on they are numbered."""
    return [
        FigurePage(name if number == 1 else f"{name}-{number}", figure, caption)
        for number, figure in enumerate(figures, 1)
    ]


def panels_per_page(panel_height: float, *, below: float = 0.0) -> int:
    """Return how many panels of a height fit on a page, two in a row, with some inches below for a legend."""
    return _MOST_IN_A_ROW * max(1, int((PAGE_HEIGHT - below) / panel_height))


@dataclass(frozen=True, slots=True)
class Panel:
    """The units of one dataset, model, weights, metric, preset and pool of images.

    Attributes:
        heading: The model, with its weights where another panel differs in nothing else.
        subheading: Dataset and preset, with the pool where another panel differs in nothing else.
        units: Its rows, all methods.
    """

    heading: str
    subheading: str
    units: pd.DataFrame


def panels(units: pd.DataFrame) -> list[Panel]:
    """Return units by what is measured, in the order of these names."""
    grouped = {
        tuple(str(label) for label in labels): rows
        for labels, rows in units.groupby(list(PANEL_COLUMNS), sort=True)
    }
    made = []
    for labels, rows in grouped.items():
        dataset, model, weights, metric, preset, pool = labels
        heading = f"{model} [{weights[:_WEIGHTS_CHARACTERS]}]" if _has_twin(grouped, labels, "weights") else model
        shown_pool = f" [{pool}]" if _has_twin(grouped, labels, "pool") else ""
        made.append(Panel(heading, f"{dataset}, {metric}/{preset}{shown_pool}", rows))
    return made


def _has_twin(panels: Iterable[tuple[str, ...]], labels: tuple[str, ...], column: str) -> bool:
    """Whether another panel differs from this one in a column alone."""
    place = PANEL_COLUMNS.index(column)
    rest = (*labels[:place], *labels[place + 1 :])
    return sum((*other[:place], *other[place + 1 :]) == rest for other in panels) > 1


def panel_figure(n_panels: int, *, panel_height: float, below: float = 0.0) -> tuple[Figure, list[Axes]]:
    """Return a figure of one column's width for one panel, of the page's width for more, and its axes.

    Args:
        n_panels: Number of panels, at least 1.
        panel_height: Height of a row of panels in inches.
        below: Inches below them for a legend that is higher than a panel has room for.
    """
    n_columns = min(n_panels, _MOST_IN_A_ROW)
    n_rows = math.ceil(n_panels / n_columns)
    width = COLUMN_WIDTH if n_panels == 1 else PAGE_WIDTH
    figure = new_figure(width, panel_height * n_rows + below)
    grid = figure.add_gridspec(n_rows, n_columns)
    axes = [figure.add_subplot(grid[divmod(index, n_columns)]) for index in range(n_panels)]
    return figure, axes


def first_in_row(axes: Sequence[Axes]) -> Sequence[Axes]:
    """Return the panels at the left edge, which carry the label of the vertical axis."""
    return axes[::_MOST_IN_A_ROW]


def last_in_row(axes: Sequence[Axes]) -> Sequence[Axes]:
    """Return the panels with nothing to their right."""
    return [axis for number, axis in enumerate(axes, 1) if number % _MOST_IN_A_ROW == 0 or number == len(axes)]


def write_heading(axes: Axes, heading: str, subheading: str) -> None:
    """Put the model above a panel and, smaller, the data and the preset below it."""
    # The title keeps the room free; the texts themselves must not make the layout shrink the panel to their width.
    axes.set_title(" \n ", fontsize=TEXT_SIZE, loc="left", pad=6, linespacing=1.3)
    for text, above, size, colour in (
        (heading, 5 + 1.3 * SMALL_SIZE, TEXT_SIZE, "black"),
        (subheading, 4, SMALL_SIZE, GREY),
    ):
        written = axes.annotate(
            text,
            xy=(0, 1),
            xycoords="axes fraction",
            xytext=(0, above),
            textcoords="offset points",
            fontsize=size,
            color=colour,
            va="bottom",
        )
        written.set_in_layout(False)


def counted(name: str, counts: Sequence[int], n_stimuli: int) -> str:
    """Return an axis label with the number of units, or the range where methods differ in it.

    Args:
        name: What the axis shows.
        counts: Number of units of each method.
        n_stimuli: Number of stimuli of the method that has fewest; few are marked, as in tables.

    Example:
        >>> counted("method", [900, 900], 100)
        'method (n = 900)'
        >>> counted("method", [180, 180], 20)
        'method (n = 180*, * fewer than 30 stimuli)'
    """
    low, high = min(counts), max(counts)
    n = str(low) if low == high else f"{low} to {high}"
    note = f"*, * fewer than {FEW_STIMULI} stimuli" if n_stimuli < FEW_STIMULI else ""
    return f"{name} (n = {n}{note})"
