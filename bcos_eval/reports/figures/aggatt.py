"""Figure `aggatt`: mean attributions of grids ranked by score, after Rao et al. (CVPR 2022)."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import ListedColormap, Normalize
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from numpy.typing import NDArray

from bcos_eval.reports.methods import method_order
from bcos_eval.reports.results import Results
from bcos_eval.store.aggregates import AggregateAttribution, bin_names

from .explanation_sheet import COLOUR_MAP, symmetric_limit
from .panels import FigurePage, MissingDataError, pages_of
from .style import GREY, PAGE_WIDTH, SMALL_SIZE, new_figure

_LIMIT_FRACTION = 0.995
# Inches: a panel with its heading, and the line that names figure and bins.
_ROW_HEIGHT = 1.15
_HEAD_HEIGHT, _KEY_HEIGHT = 0.45, 0.4
# Two rows each, on a page.
_MOST_METHODS = 3
_CAPTION = (
    "Aggregate attributions: grids ranked by their score, best left. First rows: the mean of the positive "
    "attributions of each bin, on one scale; second rows: the grid in the middle of each bin. The target's cell "
    "is framed; numbers are (mean) scores."
)


def aggatt_pages(results: Results) -> list[FigurePage]:
    """Draw a page for each dataset, model, weights and metric; two rows for each method.

    The first row shows the mean positive attribution of the grids in each bin, best grids left, on one scale for
    all bins that ends at their 99.5th percentile. The second shows the grid in the middle of each bin, on a scale
    of its own. The target's cell is framed, and each panel headed by the (mean) score.

    Raises:
        MissingDataError: If nothing of the kind is stored.
        InputError: If a file is damaged.
    """
    aggregates = results.aggregates
    if not aggregates:
        raise MissingDataError(
            f"figure 'aggatt': '{results.named}' holds no aggregate attributions; make them with "
            f"`bcos-eval aggatt --model MODEL --metric difull --out {results.folders[0]}`."
        )
    pages = []
    for key, same in groupby(sorted(aggregates, key=_page_key), key=_page_key):
        ordered = _in_method_order(list(same))
        chunks = [ordered[start : start + _MOST_METHODS] for start in range(0, len(ordered), _MOST_METHODS)]
        pages += pages_of(_page_name(key, aggregates), [_sheet(chunk) for chunk in chunks], _CAPTION)
    return pages


def shared_limit(means: NDArray[np.float32]) -> float:
    """Return where the colour map of all bins ends: the value at 99.5 % of the sorted pixels.

    The largest value where that is zero, 1 where all are.
    """
    values = np.sort(means, axis=None)
    return float(values[int(_LIMIT_FRACTION * values.size)]) or float(values[-1]) or 1.0


def _page_key(aggregate: AggregateAttribution) -> tuple[str, ...]:
    return (aggregate.dataset, aggregate.model, aggregate.metric, aggregate.kind, aggregate.weights)


def _page_name(key: tuple[str, ...], aggregates: Sequence[AggregateAttribution]) -> str:
    dataset, model, metric, kind, weights = key
    twins = {other for other in map(_page_key, aggregates) if other[:-1] == key[:-1]}
    name = "-".join(["aggatt", dataset, model, metric, kind, *([weights] if len(twins) > 1 else [])])
    return name.replace("/", "_")


def _in_method_order(aggregates: Sequence[AggregateAttribution]) -> list[AggregateAttribution]:
    positions = {method: at for at, method in enumerate(method_order({one.method for one in aggregates}))}
    return sorted(aggregates, key=lambda one: positions[one.method])


def _sheet(aggregates: Sequence[AggregateAttribution]) -> Figure:
    first = aggregates[0]
    figure = new_figure(PAGE_WIDTH, _HEAD_HEIGHT + _KEY_HEIGHT + 2 * _ROW_HEIGHT * len(aggregates))
    figure.suptitle(f"{first.model}, {first.dataset}, {first.metric}", fontsize=SMALL_SIZE, color=GREY)
    axes = figure.subplots(2 * len(aggregates), len(first.counts), squeeze=False)
    for at, aggregate in enumerate(aggregates):
        _draw_method(axes[2 * at], axes[2 * at + 1], aggregate)
    for axis, name, count in zip(axes[0], bin_names(), first.counts, strict=True):
        axis.set_title(f"{name}, mean of {count}\n{axis.get_title()}", fontsize=SMALL_SIZE)
    _add_colour_key(figure, list(axes.flat))
    return figure


def _add_colour_key(figure: Figure, axes: Sequence[Axes]) -> None:
    half = mpl.colormaps[COLOUR_MAP](np.linspace(0.5, 1, 256))
    source = mpl.cm.ScalarMappable(Normalize(0, 1), ListedColormap(half))
    key = figure.colorbar(source, ax=axes, location="bottom", shrink=0.35, aspect=30, pad=0.01)
    key.set_ticks([0, 1], labels=["0", "99.5th percentile of the method"], fontsize=SMALL_SIZE)
    key.outline.set_linewidth(0.4)
    key.ax.tick_params(length=1.5, width=0.4, pad=1.5)


def _draw_method(above: Sequence[Axes], below: Sequence[Axes], aggregate: AggregateAttribution) -> None:
    limit = shared_limit(aggregate.means)
    for at, (mean_axes, example_axes) in enumerate(zip(above, below, strict=True)):
        _draw_map(mean_axes, aggregate.means[at], limit, aggregate.region)
        mean_axes.set_title(f"{aggregate.scores[at]:.3f}", fontsize=SMALL_SIZE, pad=2)
        example = aggregate.examples[at]
        _draw_map(example_axes, example, symmetric_limit(example), aggregate.region)
    above[0].set_ylabel(f"{aggregate.method.label}\nmean", fontsize=SMALL_SIZE)
    below[0].set_ylabel("example", fontsize=SMALL_SIZE)


def _draw_map(axes: Axes, positive: NDArray[np.float32], limit: float, region: NDArray[np.bool_]) -> None:
    # Divided here, since attributions may be so small that a norm's arithmetic in float32 would fail.
    axes.imshow(positive.astype(np.float64) / limit, cmap=COLOUR_MAP, vmin=-1, vmax=1)
    rows, columns = np.flatnonzero(region.any(1)), np.flatnonzero(region.any(0))
    corner = (columns[0] - 0.5, rows[0] - 0.5)
    axes.add_patch(Rectangle(corner, len(columns), len(rows), fill=False, edgecolor="black", linewidth=0.8))
    axes.set(xticks=[], yticks=[])
    for spine in axes.spines.values():
        spine.set(visible=True, linewidth=0.4, color=GREY)
