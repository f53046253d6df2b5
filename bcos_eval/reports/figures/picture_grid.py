"""Rows of pictures on a page: what is drawn where no axis means anything."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from .explanation_sheet import COLOUR_MAP, symmetric_limit
from .style import GREY, PAGE_HEIGHT, PAGE_WIDTH, SMALL_SIZE, new_figure, text_width

Pixels = NDArray[np.uint8]

_LARGEST_CELL = 1.15
_GAP, _EDGE = 0.05, 0.03
_LINE = 1.3 * SMALL_SIZE / 72
_LARGEST_LABEL = 1.1
_GROUP_GAP = 0.12
# Of what a cut-out leaves away, as in the papers.
_CUT_AWAY = 220
# A heading at 45 degrees is so much less high and wide than it is long.
_TILTED = 0.71


@dataclass(frozen=True, slots=True)
class Picture:
    """A picture `(H, W, 3)` with the lines below it; without a picture they stand in its place."""

    pixels: Pixels | None
    below: str = ""


@dataclass(frozen=True, slots=True)
class PictureRow:
    """Pictures side by side.

    Attributes:
        label: What stands left of them.
        pictures: As many as there are columns, or fewer.
        starts_group: Whether some room separates it from the row above.
    """

    label: str
    pictures: Sequence[Picture]
    starts_group: bool = False


def map_pixels(values: NDArray[np.floating[Any]], limit: float | None = None) -> Pixels:
    """Return a signed map `(H, W)` in colours `(H, W, 3)`: red for, blue against, white zero, grey undefined.

    Args:
        values: The map.
        limit: Where the colours end; None for the 99.5th percentile of its absolute value.
    """
    colours = mpl.colormaps[COLOUR_MAP].with_extremes(bad="#BBBBBB")
    scaled = values.astype(np.float64) / (symmetric_limit(values) if limit is None else limit)
    rgba = colours(np.ma.masked_invalid((scaled + 1) / 2))
    return np.rint(np.asarray(rgba)[..., :3] * 255).astype(np.uint8)


def cut_out_pixels(image: Pixels, values: NDArray[np.floating[Any]]) -> Pixels:
    """Return the image `(H, W, 3)` where a map `(H, W)` is positive, on light grey."""
    return np.where((values > 0)[..., None], image, np.uint8(_CUT_AWAY))


def picture_grids(rows: Sequence[PictureRow], headings: Sequence[str] = ()) -> list[Figure]:
    """Return figures of the page's width at most, none higher than a page, with the rows one below the other.

    Args:
        rows: At least one.
        headings: Of the columns; empty for none.
    """
    n_columns = max(len(row.pictures) for row in rows)
    longest = max((len(line) for row in rows for line in row.label.split("\n")), default=0)
    label = min(_LARGEST_LABEL, text_width(longest, SMALL_SIZE) + _GAP) if longest else 0.0
    names = [text_width(len(heading), SMALL_SIZE) for heading in headings]
    cell = min(_LARGEST_CELL, (PAGE_WIDTH - label - 2 * _EDGE) / n_columns - _GAP)
    tilted = bool(names) and max(names) > cell
    overhang = max(0.0, names[-1] * _TILTED - cell / 2) if tilted else 0.0
    cell = min(cell, (PAGE_WIDTH - label - 2 * _EDGE - overhang) / n_columns - _GAP)
    head = (max(names) * _TILTED + _LINE if tilted else 1.4 * _LINE) if names else _EDGE
    grid = _Grid(label, cell, head, tilted, n_columns * (cell + _GAP) + label + overhang + 2 * _EDGE)
    figures, start = [], 0
    while start < len(rows):
        stop, height = start, head + _EDGE
        while stop < len(rows) and (stop == start or height + grid.height_of(rows[stop]) <= PAGE_HEIGHT):
            height += grid.height_of(rows[stop])
            stop += 1
        figures.append(grid.draw(rows[start:stop], headings, height))
        start = stop
    return figures


@dataclass(frozen=True, slots=True)
class _Grid:
    """Sizes in inches."""

    label: float
    cell: float
    head: float
    tilted: bool
    width: float

    def height_of(self, row: PictureRow) -> float:
        shapes = [one.pixels.shape[0] / one.pixels.shape[1] for one in row.pictures if one.pixels is not None]
        below = [one.below for one in row.pictures if one.below and one.pixels is not None]
        n_lines = max((text.count("\n") + 1 for text in below), default=0)
        gap = _GROUP_GAP if row.starts_group else 0.0
        return self.cell * max(shapes, default=1.0) + _GAP + n_lines * _LINE + gap

    def draw(self, rows: Sequence[PictureRow], headings: Sequence[str], height: float) -> Figure:
        figure = new_figure(self.width, height)
        # Everything is placed by hand: cells are of one size, whatever their texts.
        figure.set_layout_engine("none")
        top = height - self.head
        for number, row in enumerate(rows):
            top -= _GROUP_GAP if row.starts_group and number else 0.0
            self._draw_row(figure, row, top / height, height)
            top -= self.height_of(row) - (_GROUP_GAP if row.starts_group else 0.0)
        turn: dict[str, Any] = {"rotation": 45, "ha": "left"} if self.tilted else {"ha": "center"}
        for column, heading in enumerate(headings):
            place = self.label + _EDGE + column * (self.cell + _GAP) + self.cell / 2
            figure.text(
                place / self.width,
                1 - (self.head - 0.3 * _LINE) / height,
                heading,
                va="bottom",
                rotation_mode="anchor",
                fontsize=SMALL_SIZE,
                **turn,
            )
        return figure

    def _draw_row(self, figure: Figure, row: PictureRow, top: float, height: float) -> None:
        for column, picture in enumerate(row.pictures):
            if picture.pixels is None and not picture.below:
                continue
            left = self.label + _EDGE + column * (self.cell + _GAP)
            shape = 1.0 if picture.pixels is None else picture.pixels.shape[0] / picture.pixels.shape[1]
            high = self.cell * shape / height
            axes = figure.add_axes((left / self.width, top - high, self.cell / self.width, high))
            axes.set(xticks=[], yticks=[])
            for spine in axes.spines.values():
                spine.set(visible=picture.pixels is not None, linewidth=0.4, color=GREY)
            if picture.pixels is None:
                axes.text(0.5, 0.5, picture.below, ha="center", va="center", fontsize=SMALL_SIZE, color=GREY)
                continue
            axes.imshow(picture.pixels)
            if picture.below:
                axes.annotate(
                    _fitting(picture.below, self.cell),
                    xy=(0.5, 0),
                    xycoords="axes fraction",
                    xytext=(0, -1.5),
                    textcoords="offset points",
                    ha="center",
                    va="top",
                    fontsize=SMALL_SIZE,
                    linespacing=1.15,
                )
        middle = top - self.cell / 2 / height
        figure.text(
            (self.label - _GAP) / self.width,
            middle,
            _wrapped(row.label, self.label),
            ha="right",
            va="center",
            fontsize=SMALL_SIZE,
        )


def _fitting(text: str, width: float) -> str:
    """Lines cut to a width, so that neighbours do not touch."""
    most = max(4, int((width + _GAP / 2) / text_width(1, SMALL_SIZE) * 1.08))
    return "\n".join(line if len(line) <= most else f"{line[: most - 1]}…" for line in text.split("\n"))


def _wrapped(text: str, width: float) -> str:
    most = max(4, int(width / text_width(1, SMALL_SIZE) * 1.08))
    return "\n".join(part for line in text.split("\n") for part in textwrap.wrap(line, most) or [""])
