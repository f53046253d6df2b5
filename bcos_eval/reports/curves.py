"""The mean curves of stored units: what figures and the page draw of metrics that walk along something."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from bcos_eval.contract.metric import CurveAxes
from bcos_eval.contract.plugins import metrics
from bcos_eval.statistics.intervals import mean_interval
from bcos_eval.store.facts import MethodFacts
from bcos_eval.store.shards import StoredShard

from .results import Results
from .tables.leaderboard import shard_labels

Floats = NDArray[np.float64]

# A band of more points looks the same, and each takes an interval.
_MOST_BAND_POINTS = 33


@dataclass(frozen=True, slots=True)
class MeanCurve:
    """The mean of a method's curves by one metric, over images.

    Attributes:
        labels: What identifies its cell, by `LABEL_COLUMNS`.
        method: The explainer.
        axes: What the axes show.
        part: Which part of the stored curves it is, empty where they have one.
        x: Where its points lie `(T,)`.
        by_image: Mean curve of each image `(I, T)`.
        n: Number of curves.
    """

    labels: Mapping[str, str]
    method: MethodFacts
    axes: CurveAxes
    part: str
    x: Floats
    by_image: Floats = field(repr=False)
    n: int

    @property
    def metric(self) -> str:
        """Metric and preset, with the part."""
        part = f", {self.part}" if self.part else ""
        return f"{self.labels['metric']}/{self.labels['preset']}{part}"

    @property
    def mean(self) -> Floats:
        """The mean `(T,)`."""
        return np.asarray(self.by_image.mean(0))

    @property
    def n_stimuli(self) -> int:
        """Number of images."""
        return len(self.by_image)

    def band(self) -> tuple[Floats, Floats, Floats]:
        """Return where the pointwise 95 % intervals over images lie, and their ends; NaN where there is none."""
        places = np.unique(np.linspace(0, len(self.x) - 1, _MOST_BAND_POINTS).round().astype(int))
        images = range(self.n_stimuli)
        # Rank correlations reach −1; probabilities, shares and what is between both stay within this too.
        lowest = 0.0 if self.by_image.min() >= 0 else -1.0
        ends = [mean_interval(self.by_image[:, place], images, low=lowest, high=1) for place in places]
        low, high = np.array(ends, dtype=np.float64).T
        return self.x[places], low, high


def mean_curves(results: Results) -> list[MeanCurve]:
    """Return the mean curves of all metrics that state what their curves show, in the order of their labels.

    Curves with undefined points are left out. Where images of several sizes have curves of several lengths, all
    are read off at the points of the shortest.

    Raises:
        InputError: If a file of curves is damaged.
    """
    axes = {key: metric.info.curve for key, metric in metrics().items()}
    shards = {
        shard.facts.address.cell: shard
        for shard in results.shards
        if shard.has_curves is not False and _axes_of(shard, axes) is not None
    }
    wanted = [shard for shard in results.shards if shard.facts.address.cell in shards]
    stored = results.curves(wanted).drop_duplicates(["cell", "stimulus", "unit"])
    found = []
    for cell, own in stored.groupby("cell", sort=True):
        shard = shards[str(cell)]
        shown = _axes_of(shard, axes)
        if shown is not None:
            found += list(_curves_of(shard, own, shown))
    return sorted(found, key=lambda one: [*one.labels.values(), one.part])


def _axes_of(shard: StoredShard, axes: Mapping[str, CurveAxes | None]) -> CurveAxes | None:
    """Return what the curves of a shard show; None where its metric says that they are none, or is unknown."""
    name, preset = shard.facts.metric.name, shard.facts.metric.preset
    if f"{name}/{preset}" in axes:
        return axes[f"{name}/{preset}"]
    # A preset of an earlier version: the same metric's other presets walk along the same thing.
    others = (shown for key, shown in axes.items() if key.startswith(f"{name}/") and shown is not None)
    return next(others, None)


def _curves_of(shard: StoredShard, rows: pd.DataFrame, axes: CurveAxes) -> Iterator[MeanCurve]:
    rows = rows[[bool(np.isfinite(curve).all()) for curve in rows["curve"]]]
    if rows.empty:
        return
    by_image = [
        np.stack(_of_one_length(list(own))).mean(0)
        for _, own in rows.sort_values(["stimulus", "unit"]).groupby("stimulus")["curve"]
    ]
    values = np.stack(_of_one_length(by_image))
    n_parts = max(1, len(axes.parts))
    if values.shape[1] % n_parts or values.shape[1] < 2 * n_parts:
        return
    labels = shard_labels(shard)
    for place, part in enumerate(np.split(values, n_parts, axis=1)):
        n_points = part.shape[1]
        first, last = (
            (1.0, float(n_points)) if axes.first is None or axes.last is None else (axes.first, axes.last)
        )
        name = axes.parts[place] if axes.parts else ""
        yield MeanCurve(
            labels, shard.facts.method, axes, name, np.linspace(first, last, n_points), part, len(rows)
        )


def _of_one_length(curves: Sequence[Floats]) -> list[Floats]:
    shortest = min(len(curve) for curve in curves)
    at = np.linspace(0, 1, shortest)
    return [
        np.asarray(curve, dtype=np.float64)
        if len(curve) == shortest
        else np.interp(at, np.linspace(0, 1, len(curve)), curve)
        for curve in curves
    ]
