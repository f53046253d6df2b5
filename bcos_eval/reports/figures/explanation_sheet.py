"""A sheet of explanations: one row per explained image, one column per explainer."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from numpy.typing import NDArray

from bcos_eval.reports.methods import method_order, settings_text, short_names
from bcos_eval.store.facts import MethodFacts

from .style import GREY, PAGE_WIDTH, SMALL_SIZE, new_figure, text_width

# White is zero, red speaks for the target, blue against it.
COLOUR_MAP = "bwr"
# Of the maps of controls, which are there to be compared with and not to be looked at.
_PALE = 0.3
LIMIT_PERCENTILE = 99.5
INPUT_HEADING = "input"
COLOUR_HEADING = "bcos in colour"

# A heading of its own, or a method.
Column = str | MethodFacts

_NONFINITE_COLOUR = "#BBBBBB"
_LARGEST_CELL = 1.05
_LARGEST_HEIGHT = 8.8
_GAP = 0.05
_LABEL_WIDTH = 0.95
_LABEL_CHARACTERS = 15
_LINE_HEIGHT = 1.25 * SMALL_SIZE / 72
_KEY_HEIGHT = 0.36
_KEY_WIDTH = 1.6
_SETTINGS_SIZE = 5
_LEVEL_HEADING_HEIGHT = 0.2
# A heading at 45 degrees is so much less high and wide than it is long.
_TILTED = 0.71
_EDGE = 0.03


@dataclass(frozen=True, slots=True)
class ExplanationRow:
    """One explained target of one image.

    Attributes:
        label: What stands beside the image: the target's name.
        image: Pixels `(H, W, 3)`, uint8.
        maps: Signed attributions `(H, W)` by method.
        colour: Colour explanation `(H, W, 4)`, uint8, not premultiplied; None if there is none.
        region: True where the target's evidence is, `(H, W)` bool; None or all False where unknown.
        note: A second line under the label, such as the probability.
    """

    label: str
    image: NDArray[np.uint8]
    maps: Mapping[MethodFacts, NDArray[np.floating[Any]]]
    colour: NDArray[np.uint8] | None = None
    region: NDArray[np.bool_] | None = None
    note: str = ""


@dataclass(frozen=True, slots=True)
class _Layout:
    """Sizes in inches; rows are as high as their images need."""

    columns: tuple[Column, ...]
    called: Mapping[MethodFacts, str]
    cell: float
    heights: tuple[float, ...]
    heading: float
    tilted: bool
    width: float
    height: float


def explanation_sheet(rows: Sequence[ExplanationRow]) -> Figure:
    """Return a figure with a row per explained target: input, colour explanation if any, then each method's map.

    Maps are drawn with one colour map, symmetric about zero, whose ends are the 99.5th percentile of the absolute
    value of that map; entries that are not finite are grey. Call it, and save the figure, inside `figure_style()`.

    Args:
        rows: At least one row. A method that only some rows have leaves the others empty.

    Raises:
        ValueError: If there are no rows.
    """
    if not rows:
        raise ValueError("a sheet of explanations got no rows; give at least one.")
    layout = _layout(rows)
    figure = new_figure(layout.width, layout.height)
    figure.set_layout_engine("none")
    top = layout.height - layout.heading
    for number, (row, height) in enumerate(zip(rows, layout.heights, strict=True)):
        top -= height
        for position, column in enumerate(layout.columns):
            axes = _cell_axes(figure, layout, position, top, height)
            _draw_cell(axes, row, column)
            if number == 0:
                _write_column_heading(axes, _heading(column, layout.called), tilted=layout.tilted)
        _write_row_label(figure, row, layout, bottom=top, height=height)
        top -= _GAP
    _add_colour_key(figure, layout)
    _write_settings(figure, layout)
    return figure


def symmetric_limit(values: NDArray[np.floating[Any]]) -> float:
    """Return where the colour map ends: the 99.5th percentile of the finite absolute values; 1 for a zero map.

    A map so sparse that the percentile is zero ends at its largest entry.
    """
    sizes = np.abs(values[np.isfinite(values)]).astype(np.float64)
    if not sizes.size or sizes.max() == 0:
        return 1.0
    return float(np.percentile(sizes, LIMIT_PERCENTILE)) or float(sizes.max())


def on_white(rgba: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return an RGBA image `(H, W, 4)` laid on white paper, `(H, W, 3)`, uint8."""
    opacity = rgba[..., 3:].astype(np.float64) / 255
    return np.rint(rgba[..., :3] * opacity + 255 * (1 - opacity)).astype(np.uint8)


def _layout(rows: Sequence[ExplanationRow]) -> _Layout:
    methods = method_order({method for row in rows for method in row.maps})
    colour = [COLOUR_HEADING] if any(row.colour is not None for row in rows) else []
    columns: tuple[Column, ...] = (INPUT_HEADING, *colour, *methods)
    shapes = [row.image.shape[0] / row.image.shape[1] for row in rows]
    called = short_names(methods)
    names = [text_width(len(_heading(column, called)), SMALL_SIZE) for column in columns]
    room = PAGE_WIDTH - _LABEL_WIDTH - _GAP * len(columns) - _EDGE
    tall = (_LARGEST_HEIGHT - max(names) - _KEY_HEIGHT - _GAP * len(rows)) / sum(shapes)
    cell = min(_LARGEST_CELL, room / len(columns), tall)
    tilted = max(names) > cell
    # The last tilted heading reaches beyond its column.
    overhang = max(0.0, names[-1] * _TILTED + _EDGE - cell / 2) if tilted else 0.0
    cell = min(cell, (room - overhang) / len(columns))
    heading = max(names) * _TILTED + _LEVEL_HEADING_HEIGHT * _TILTED if tilted else _LEVEL_HEADING_HEIGHT
    heights = tuple(cell * shape for shape in shapes)
    width = _LABEL_WIDTH + len(columns) * (cell + _GAP) + overhang + _EDGE
    height = heading + sum(heights) + _GAP * len(rows) + _KEY_HEIGHT
    return _Layout(columns, called, cell, heights, heading, tilted, width, height)


def _heading(column: Column, called: Mapping[MethodFacts, str]) -> str:
    return called[column] if isinstance(column, MethodFacts) else column


def _cell_axes(figure: Figure, layout: _Layout, position: int, bottom: float, height: float) -> Axes:
    left = _LABEL_WIDTH + position * (layout.cell + _GAP)
    width, total = layout.width, layout.height
    axes = figure.add_axes((left / width, bottom / total, layout.cell / width, height / total))
    axes.set(xticks=[], yticks=[])
    for spine in axes.spines.values():
        spine.set(visible=True, linewidth=0.4, color=GREY)
    return axes


def _draw_cell(axes: Axes, row: ExplanationRow, column: Column) -> None:
    if column == INPUT_HEADING:
        axes.imshow(row.image)
        _outline(axes, row.region, widths=(1.8, 0.8), colours=("white", "black"))
        return
    if column == COLOUR_HEADING:
        if row.colour is None:
            _leave_empty(axes)
            return
        axes.imshow(on_white(row.colour))
    elif isinstance(column, MethodFacts) and column in row.maps:
        _show_map(axes, row.maps[column], opacity=_PALE if column.is_control else 1.0)
    else:
        _leave_empty(axes)
        return
    _outline(axes, row.region, widths=(0.6,), colours=(GREY,))


def _leave_empty(axes: Axes) -> None:
    for spine in axes.spines.values():
        spine.set_visible(False)
    axes.text(0.5, 0.5, "–", transform=axes.transAxes, ha="center", va="center", color=GREY)


def _show_map(axes: Axes, values: NDArray[np.floating[Any]], *, opacity: float) -> None:
    limit = symmetric_limit(values)
    colours = mpl.colormaps[COLOUR_MAP].with_extremes(bad=_NONFINITE_COLOUR)
    # Divided here, since attributions may be so small that a norm's arithmetic in float32 would fail.
    scaled = values.astype(np.float64) / limit
    axes.imshow(np.ma.masked_invalid(scaled), cmap=colours, vmin=-1, vmax=1, alpha=opacity)


def _outline(
    axes: Axes, region: NDArray[np.bool_] | None, *, widths: Sequence[float], colours: Sequence[str]
) -> None:
    if region is None or not region.any():
        return
    # A frame of False closes the outline of a region that reaches the border.
    padded = np.pad(region, 1).astype(float)
    rows, columns = (np.arange(-1, side + 1) for side in region.shape)
    limits = axes.get_xlim(), axes.get_ylim()
    for width, colour in zip(widths, colours, strict=True):
        line = axes.contour(columns, rows, padded, levels=[0.5], colors=[colour], linewidths=[width])
        line.set_clip_on(False)
    axes.set(xlim=limits[0], ylim=limits[1])


def _write_column_heading(axes: Axes, text: str, *, tilted: bool) -> None:
    turn = {"rotation": 45, "ha": "left", "rotation_mode": "anchor"} if tilted else {"ha": "center"}
    axes.annotate(
        text,
        xy=(0.5, 1),
        xycoords="axes fraction",
        xytext=(0, 3),
        textcoords="offset points",
        va="bottom",
        fontsize=SMALL_SIZE,
        **turn,
    )


def _write_row_label(
    figure: Figure, row: ExplanationRow, layout: _Layout, *, bottom: float, height: float
) -> None:
    notes = [row.note] if row.note else []
    n_lines = max(1, int(height / _LINE_HEIGHT) - len(notes))
    lines = textwrap.wrap(row.label, _LABEL_CHARACTERS, max_lines=n_lines, placeholder=" …")
    figure.text(
        (_LABEL_WIDTH - _GAP) / layout.width,
        (bottom + height / 2) / layout.height,
        "\n".join([*lines, *notes]),
        ha="right",
        va="center",
        fontsize=SMALL_SIZE,
    )


def _write_settings(figure: Figure, layout: _Layout) -> None:
    """Write beside the colour key the parameters that the headings leave out."""
    text = settings_text(layout.called)
    if not text:
        return
    left = _LABEL_WIDTH + min(_KEY_WIDTH, layout.width - _LABEL_WIDTH - _EDGE) + 2 * _EDGE
    n_characters = max(1, int((layout.width - left - _EDGE) / text_width(1, _SETTINGS_SIZE)))
    lines = textwrap.wrap(text, n_characters, max_lines=3, placeholder=" …")
    figure.text(
        left / layout.width,
        (_KEY_HEIGHT - _EDGE) / layout.height,
        "\n".join(lines),
        va="top",
        fontsize=_SETTINGS_SIZE,
        color=GREY,
    )


def _add_colour_key(figure: Figure, layout: _Layout) -> None:
    left, key_width = _LABEL_WIDTH, min(_KEY_WIDTH, layout.width - _LABEL_WIDTH - _EDGE)
    axes = figure.add_axes(
        (left / layout.width, 0.22 / layout.height, key_width / layout.width, 0.07 / layout.height)
    )
    source = mpl.cm.ScalarMappable(Normalize(-1, 1), mpl.colormaps[COLOUR_MAP])
    key = figure.colorbar(source, cax=axes, orientation="horizontal")
    key.set_ticks([-1, 0, 1], labels=["against", "0", "for target"], fontsize=SMALL_SIZE)
    first, _, last = key.ax.get_xticklabels()
    first.set_horizontalalignment("left")
    last.set_horizontalalignment("right")
    key.ax.tick_params(length=1.5, width=0.4, pad=1.5)
    key.outline.set_linewidth(0.4)
