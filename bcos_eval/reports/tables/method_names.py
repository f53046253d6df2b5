"""What figures call methods whose labels hold parameters, which are longer than figures have room for."""

from __future__ import annotations

import textwrap
from collections import Counter
from collections.abc import Iterable, Mapping

from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties

from bcos_eval.reports.figures.style import GREY, SMALL_SIZE, base_method, method_order, text_width


def short_names(labels: Iterable[str]) -> Mapping[str, str]:
    """Return the name of each label in a figure: without its parameters, unless two would be called the same.

    Example:
        >>> dict(short_names(["bcos", "lime(n_samples=100)"]))
        {'bcos': 'bcos', 'lime(n_samples=100)': 'lime'}
    """
    distinct = list(dict.fromkeys(labels))
    counts = Counter(map(base_method, distinct))
    return {label: base_method(label) if counts[base_method(label)] == 1 else label for label in distinct}


def settings_text(labels: Iterable[str]) -> str:
    """Return the parameters that `short_names` leaves out; empty where it leaves out none.

    Example:
        >>> settings_text(["bcos", "lime(n_samples=100)"])
        'lime: n_samples=100'
    """
    names = short_names(labels)
    left_out = [label for label in method_order(names) if names[label] != label]
    return "; ".join(
        f"{names[label]}: {label[len(names[label]) + 1 : -1].replace(',', ', ')}" for label in left_out
    )


def write_settings(figure: Figure, labels: Iterable[str]) -> None:
    """Write below all panels, above a legend there, the parameters that the methods' names leave out."""
    text = settings_text(labels)
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
