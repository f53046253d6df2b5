"""How figures look: sizes and type, whatever the user's own settings, and how they reach the disk."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties

from bcos_eval.reports.methods import settings_text
from bcos_eval.store.atomic_write import atomic_path
from bcos_eval.store.facts import MethodFacts

# Inches: one column and the full width of a two-column paper.
COLUMN_WIDTH = 3.3
PAGE_WIDTH = 6.9
# No figure is higher, so that its caption still fits below it.
PAGE_HEIGHT = 9.0
PNG_DPI = 300

SMALL_SIZE = 7
TEXT_SIZE = 8
GREY = "#555555"
# Share of white in filled areas.
LIGHTER = 0.45

# Width of an average character in units of the type size.
_ADVANCE = 0.6

_STYLE: Any = {
    # Matplotlib brings this face along, so a figure is the same on every machine.
    "font.family": ["DejaVu Sans"],
    "font.size": TEXT_SIZE,
    "axes.titlesize": TEXT_SIZE,
    "axes.labelsize": TEXT_SIZE,
    "xtick.labelsize": SMALL_SIZE,
    "ytick.labelsize": SMALL_SIZE,
    "legend.fontsize": SMALL_SIZE,
    "legend.frameon": False,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.linewidth": 0.6,
    "xtick.major.width": 0.6,
    "ytick.major.width": 0.6,
    "lines.linewidth": 1.2,
    # Type 42: whole outlines, which journals ask for and editors can select.
    "pdf.fonttype": 42,
    "text.usetex": False,
    "savefig.bbox": None,
}


def lightened(colour: str, share: float) -> tuple[float, float, float]:
    """Return a colour mixed with a share of white in [0, 1], as red, green, blue in [0, 1]."""
    red, green, blue = (value + (1 - value) * share for value in to_rgb(colour))
    return red, green, blue


def text_width(n_characters: int, size: float) -> float:
    """Return about how wide a text is, in inches."""
    return _ADVANCE * n_characters * size / 72


def settings_sentence(methods: Iterable[MethodFacts]) -> str:
    """Return, as the end of a caption, the parameters that the methods' short names leave out; empty for none."""
    text = settings_text(methods)
    return f" Parameters: {text}." if text else ""


def write_settings(figure: Figure, methods: Iterable[MethodFacts]) -> None:
    """Write below all panels, above a legend there, the parameters that the methods' short names leave out."""
    text = settings_text(methods)
    if not text:
        return
    lines = textwrap.fill(text, int(figure.get_size_inches()[0] / text_width(1, SMALL_SIZE)))
    if not figure.legends:
        figure.supxlabel(lines, x=0.01, ha="left", fontsize=SMALL_SIZE, color=GREY)
        return
    (legend,) = figure.legends
    legend.set_title(lines, prop=FontProperties(size=SMALL_SIZE))
    legend.get_title().set_color(GREY)
    legend.set_alignment("left")


@contextmanager
def figure_style() -> Iterator[None]:
    """Draw and save inside this block: neither the user's matplotlib settings matter to it nor it to them."""
    with mpl.rc_context():
        mpl.rcdefaults()
        mpl.rcParams.update(_STYLE)
        yield


def new_figure(width: float, height: float) -> Figure:
    """Return an empty figure that no global state knows of, sizes in inches."""
    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def save_figure(figure: Figure, path: Path) -> None:
    """Write a figure as what the suffix says, `.pdf` or `.png`; the same figure gives the same bytes."""
    # A date would change the file each time it is drawn.
    metadata = {"CreationDate": None} if path.suffix == ".pdf" else None
    with figure_style(), atomic_path(path) as temporary:
        figure.savefig(temporary, format=path.suffix[1:], dpi=PNG_DPI, metadata=metadata)
        # What is laid out stays where it is: a second file is drawn in half the time.
        figure.set_layout_engine("none")
