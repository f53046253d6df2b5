"""Deletion curves: seconds per scored point, ours against other implementations."""

from __future__ import annotations

import importlib
import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor

from bcos_eval.contract.explained_model import ExplainedModel
from bcos_eval.contract.plugins import find_explainer, find_metric
from bcos_eval.models import Classifier

from .bare import images_in_passes, seconds_of_passes
from .case import scene_grid
from .clock import timed
from .deletion_references import Curves, quantus_curves, rise_curves
from .machine import installed_version, peak_growth
from .report import PerturbationRow, Times

METRIC = "pixel_deletion/default"
# A preset with more points: what their number costs in memory.
_LONG_METRIC = "pixel_deletion/rise"
# Pictures per pass when memory is measured: fewer than either curve has points.
_PEAK_BATCH = 8
# Steps of `METRIC`.
_N_STEPS = 50
# The smallest multiple of this side has whole pixels in each of 50 equal steps.
_SIDE_UNIT = 10


@dataclass(frozen=True, slots=True)
class Reference:
    """Another implementation of the deletion curve.

    Attributes:
        name: What it is called.
        curves: Makes the curves.
        package: What must be installed; empty for nothing.
        n_missing: Points that it leaves out at the start of the curve.
    """

    name: str
    curves: Curves
    package: str = ""
    n_missing: int = 0


REFERENCES = (
    Reference("Quantus PixelFlipping", quantus_curves, "quantus", n_missing=1),
    Reference("RISE's loop", rise_curves),
)


@dataclass(frozen=True, slots=True)
class DeletionTask:
    """Images, targets and orders for all sides.

    Attributes:
        network: The network.
        images: `(B, 3, H, W)` in [0, 1].
        targets: `(B,)`, int64.
        ranks: Place of every pixel in the order of removal, `(B, H, W)`; no ties.
    """

    network: Classifier
    images: Tensor
    targets: Tensor
    ranks: Tensor

    def ours(self, metric: str = METRIC, batch_size: int | None = None) -> Tensor:
        """Return our curves `(B, T)`, in batches of the metric's own size if none is given."""
        maps = -self.ranks[:, None].double()
        regions = torch.zeros_like(maps, dtype=torch.bool)
        size = int(find_metric(metric).info.defaults["batch_size"]) if batch_size is None else batch_size
        # A new one each time, since it remembers predictions. The maps come from no explainer; this metric does
        # not ask.
        model = ExplainedModel(self.network, find_explainer("random"))
        scored = find_metric(metric).score(
            maps, self.images, self.targets[:, None], regions, model, batch_size=size
        )
        if scored.curves is None:
            raise RuntimeError(f"metric '{metric}' gives no curves")
        return scored.curves[:, 0]

    def theirs(self, reference: Reference) -> Tensor:
        """Return another implementation's curves `(B, T)`."""
        step = self.ranks[0].numel() // _N_STEPS
        return reference.curves(self.network, self.images, self.ranks, self.targets, step)


def deletion_task(network: Classifier, side: int, n_images: int, seed: int) -> DeletionTask:
    """Return scenes of at most `side` pixels per side, with random orders of removal."""
    side = max(side // _SIDE_UNIT, 1) * _SIDE_UNIT
    images = torch.cat([scene_grid(1, side, seed + index) for index in range(n_images)])
    generator = torch.Generator().manual_seed(seed)
    ranks = torch.stack([torch.randperm(side**2, generator=generator).view(side, side) for _ in images])
    targets = torch.randint(network.num_classes, (n_images,), generator=generator)
    return DeletionTask(network, images, targets, ranks)


def measure_deletion(
    task: DeletionTask, repeats: int, advance: Callable[[int], None] = lambda _n: None
) -> tuple[PerturbationRow, ...]:
    """Return one row per other implementation; one that is not installed leaves a note in its row.

    Args:
        task: What is scored.
        repeats: Repetitions; medians are reported.
        advance: Told of finished repetitions.
    """
    present = [each for each in REFERENCES if not each.package or installed_version(each.package)]
    work: dict[str, Callable[[], Tensor]] = {each.name: partial(task.theirs, each) for each in present}
    work["ours"] = task.ours
    for each in present:
        if each.package:
            importlib.import_module(each.package)  # its time does not count
    seconds: dict[str, list[float]] = {name: [] for name in (*work, "bare")}
    passes = images_in_passes(task.network, task.ours)
    curves: dict[str, Tensor] = {}
    for _ in range(repeats):
        for name, make in work.items():
            taken, curves[name] = timed(make)
            seconds[name].append(taken / curves[name].numel())
        seconds["bare"].append(_bare_seconds(task, passes) / curves["ours"].numel())
        advance(1)
    peaks = peak_bytes(task)
    return tuple(
        _row(task, each, curves, seconds, peaks) if each in present else _absent_row(task, each)
        for each in REFERENCES
    )


def peak_bytes(task: DeletionTask) -> Mapping[int, int]:
    """Return by how many bytes memory grows while one image is scored, by number of points; empty if unknown."""
    one = DeletionTask(task.network, task.images[:1], task.targets[:1], task.ranks[:1])
    measured = [
        peak_growth(partial(one.ours, metric, batch_size=_PEAK_BATCH)) for metric in (METRIC, _LONG_METRIC)
    ]
    return {curves.numel(): growth for growth, curves in measured if growth is not None}


def _bare_seconds(task: DeletionTask, passes: Sequence[int]) -> float:
    encoded = task.network.encode(task.images[:1])
    return seconds_of_passes(task.network, encoded, sum(passes), statistics.mode(passes))


def _row(
    task: DeletionTask,
    reference: Reference,
    curves: Mapping[str, Tensor],
    seconds: Mapping[str, list[float]],
    peaks: Mapping[int, int],
) -> PerturbationRow:
    ours, theirs = curves["ours"][:, reference.n_missing :], curves[reference.name]
    return PerturbationRow(
        METRIC,
        task.network.name,
        reference.name,
        n_points=theirs.shape[1],
        n_images=len(task.images),
        times=Times(*(tuple(seconds[side]) for side in (reference.name, "ours", "bare"))),
        max_difference=float((ours - theirs).abs().max()),
        peak_bytes=peaks,
    )


def _absent_row(task: DeletionTask, reference: Reference) -> PerturbationRow:
    note = f"not installed: pip install {reference.package}"
    return PerturbationRow(METRIC, task.network.name, reference.name, 0, len(task.images), note=note)
