"""Figure `perturbation`: the probability of the target while pixels are removed in the attribution's order."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from bcos_eval.reports.methods import method_order, method_style, short_names
from bcos_eval.reports.tables.leaderboard import current_shards, shard_labels, stored_methods
from bcos_eval.statistics.intervals import mean_interval
from bcos_eval.store.facts import MethodFacts
from bcos_eval.store.shards import Store, StoredShard

from .panels import (
    PANEL_COLUMNS,
    FigurePage,
    MissingDataError,
    Panel,
    counted,
    first_in_row,
    panel_figure,
    panels,
    write_heading,
)
from .style import write_settings

_METRIC = "pixel_perturbation"
_PANEL_HEIGHT = 2.6
# CoDA-Nets remove a quarter of the pixels in equal steps; a step less where they do not divide the quarter.
_LAST_PERCENT = 25.0
_MOST_WITH_BANDS = 8

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class MeanCurve:
    """The mean of a method's curves.

    Attributes:
        percent: Share of the pixels that is removed at each point, in [0, 100], `(T,)`.
        mean: Mean probability of the target `(T,)`.
        low: Lower end of the pointwise 95 % interval `(T,)`, NaN where images are too few, see `mean_interval`.
        high: Upper end.
        n: Number of curves.
        n_stimuli: Number of images.
    """

    percent: Floats
    mean: Floats
    low: Floats
    high: Floats
    n: int
    n_stimuli: int


def perturbation_pages(store: Store) -> list[FigurePage]:
    """Draw the mean curves of all methods, a panel for each dataset, model and preset.

    Bands are pointwise 95 % intervals over images, drawn up to eight methods; more would hide one another. Curves
    with undefined points are left out, and the axis says how many are shown.

    Raises:
        MissingDataError: If nothing of the kind is stored.
    """
    shards = [shard for shard in current_shards(store)[0] if shard.facts.metric.name == _METRIC]
    units = stored_curves(store, shards)
    if units.empty:
        raise MissingDataError(
            f"figure 'perturbation': '{store.root}' holds no curves of {_METRIC}; make them with "
            f"`bcos-eval run --model MODEL --metric {_METRIC} --out {store.root}`."
        )
    drawn, methods = panels(units), stored_methods(shards)
    figure, axes = panel_figure(len(drawn), panel_height=_PANEL_HEIGHT)
    for axis, panel in zip(axes, drawn, strict=True):
        _draw_panel(axis, panel, methods)
    for axis in first_in_row(axes):
        axis.set_ylabel("mean probability of target")
    top = max(axis.get_ylim()[1] for axis in axes)
    for axis in axes:
        axis.set_ylim(0, top)
    _add_legend(figure, axes, methods)
    return [FigurePage("perturbation", figure)]


def stored_curves(store: Store, shards: Sequence[StoredShard]) -> pd.DataFrame:
    """Return the distinct, finite curves of some shards: labels, `stimulus, target, unit, curve`."""
    labels = {shard.facts.address.cell: _labels(shard) for shard in shards}
    curves = store.curves([shard.facts.address for shard in shards])
    curves = curves.drop_duplicates(["cell", "stimulus", "unit"])
    finite = np.array([np.isfinite(curve).all() for curve in curves["curve"]], dtype=bool)
    curves = curves[finite]
    columns = [*PANEL_COLUMNS, "method"]
    return curves.assign(**{c: [labels[cell][c] for cell in curves["cell"]] for c in columns})


def mean_curve(curves: pd.DataFrame) -> MeanCurve:
    """Return the mean of one method's curves with its band."""
    by_image = curves.sort_values(["stimulus", "unit"]).groupby("stimulus")["curve"]
    values = np.stack([np.stack(list(own)).mean(0) for _, own in by_image])
    # Probabilities, one curve per image.
    ends = [mean_interval(at_point, range(len(values)), low=0, high=1) for at_point in values.T]
    low, high = np.array(ends, dtype=np.float64).T
    percent = np.linspace(0, _LAST_PERCENT, values.shape[1])
    return MeanCurve(percent, values.mean(0), low, high, len(curves), len(values))


def _labels(shard: StoredShard) -> Mapping[str, str]:
    labels = shard_labels(shard)
    return {column: labels[column] for column in (*PANEL_COLUMNS, "method")}


def _draw_panel(axes: Axes, panel: Panel, methods: Mapping[str, MethodFacts]) -> None:
    counts, stimuli = [], []
    drawn = method_order(methods[label] for label in panel.units["method"].unique())
    for method in drawn:
        curve = mean_curve(panel.units[panel.units["method"] == method.label])
        style = method_style(method)
        axes.plot(curve.percent, curve.mean, color=style.colour, linestyle=style.line, label=method.label)
        if len(drawn) <= _MOST_WITH_BANDS:
            axes.fill_between(curve.percent, curve.low, curve.high, color=style.colour, alpha=0.15, linewidth=0)
        counts.append(curve.n)
        stimuli.append(curve.n_stimuli)
    axes.set_xlabel(counted("pixels removed in %", counts, min(stimuli)))
    axes.set_xlim(0, _LAST_PERCENT)
    write_heading(axes, panel)


def _add_legend(figure: Figure, axes: Sequence[Axes], methods: Mapping[str, MethodFacts]) -> None:
    handles = {
        label: handle for axis in axes for handle, label in zip(*axis.get_legend_handles_labels(), strict=True)
    }
    drawn = method_order(methods[label] for label in handles)
    width = figure.get_size_inches()[0]
    n_columns = min(len(drawn), int(width / 1.1))
    names = list(short_names(drawn).values())
    figure.legend([handles[one.label] for one in drawn], names, loc="outside lower center", ncols=n_columns)
    write_settings(figure, drawn)
