"""How figures look: sizes, type and one colour for each method, wherever it appears."""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure

from bcos_eval.store.atomic_write import atomic_path

# Inches: one column and the full width of a two-column paper.
COLUMN_WIDTH = 3.3
PAGE_WIDTH = 6.9
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


Line = str | tuple[float, tuple[float, ...]]


@dataclass(frozen=True, slots=True)
class MethodStyle:
    """Colour and line of a method; the pair is unique among the registered ones."""

    colour: str
    line: Line


# Hues from Okabe & Ito and from Tol, which readers with any colour vision tell apart: the linear summary in
# vermilion, gradients in blues, CAMs in greens, perturbation in purples, controls in greys. Within a family
# lightness and line differ. The order is the one columns and legends use.
METHOD_STYLES: dict[str, MethodStyle] = {
    "bcos": MethodStyle("#D55E00", "-"),
    "bcos_relative": MethodStyle("#CC6677", "--"),
    "ixg": MethodStyle("#0072B2", "-"),
    "grad": MethodStyle("#56B4E9", "--"),
    "gb": MethodStyle("#332288", ":"),
    "intgrad": MethodStyle("#56B4E9", "-"),
    "smoothgrad": MethodStyle("#0072B2", "--"),
    "deeplift": MethodStyle("#332288", "-"),
    "gradcam": MethodStyle("#009E73", "-"),
    "gradcam++": MethodStyle("#117733", "--"),
    "layercam": MethodStyle("#44AA99", "-."),
    "scorecam": MethodStyle("#117733", "-"),
    "guided_gradcam": MethodStyle("#999933", "-"),
    "lime": MethodStyle("#CC79A7", "-"),
    "kernelshap": MethodStyle("#AA4499", "--"),
    "occlusion": MethodStyle("#882255", "-"),
    "rise": MethodStyle("#AA4499", "-."),
    "extremal": MethodStyle("#CC79A7", ":"),
    "rollout": MethodStyle("#E69F00", "-"),
    "attention_gradient": MethodStyle("#E69F00", "--"),
    "random": MethodStyle("#777777", ":"),
    "uniform": MethodStyle("#999999", "--"),
    "center": MethodStyle("#AAAAAA", "-."),
    "edges": MethodStyle("#AAAAAA", ":"),
}

_UNLISTED = MethodStyle("#000000", "-")

# Long dashes, dash and two dots, dash and three dots: none is a line of the defaults.
_VARIANT_LINES: tuple[Line, ...] = (
    (0, (7, 2)),
    (0, (5, 1, 1, 1, 1, 1)),
    (0, (5, 1, 1, 1, 1, 1, 1, 1)),
)


def base_method(label: str) -> str:
    """Return the registered name in a method's label.

    Example:
        >>> base_method("lime(n_samples=100)")
        'lime'
    """
    return label.partition("(")[0]


def method_style(label: str) -> MethodStyle:
    """Return the style of a method, whatever else is drawn; black for methods that are not listed.

    A method with other parameters than its defaults keeps its colour and gets another line.
    """
    style = METHOD_STYLES.get(base_method(label), _UNLISTED)
    if label == base_method(label):
        return style
    return MethodStyle(style.colour, _VARIANT_LINES[zlib.crc32(label.encode()) % len(_VARIANT_LINES)])


def method_order(labels: Iterable[str]) -> list[str]:
    """Return labels in the fixed order of methods, those that are not listed last by name."""
    positions = {name: position for position, name in enumerate(METHOD_STYLES)}
    return sorted(labels, key=lambda label: (positions.get(base_method(label), len(positions)), label))


def lightened(colour: str, share: float) -> tuple[float, float, float]:
    """Return a colour mixed with a share of white in [0, 1], as red, green, blue in [0, 1]."""
    red, green, blue = (value + (1 - value) * share for value in to_rgb(colour))
    return red, green, blue


def text_width(n_characters: int, size: float) -> float:
    """Return about how wide a text is, in inches."""
    return _ADVANCE * n_characters * size / 72


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
