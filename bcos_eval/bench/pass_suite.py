"""Images and grids per second as a run explains and scores them: alone, and several in a pass."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch

from bcos_eval.contract.plugins import find_explainer, find_metric
from bcos_eval.contract.stimulus import Stimulus
from bcos_eval.engine.batch import BatchLimit, explains_together
from bcos_eval.engine.choice import choose
from bcos_eval.engine.scoring import score_batch
from bcos_eval.errors import IncompatibleError
from bcos_eval.models import Classifier
from bcos_eval.stimuli.grids.compose import cell_regions
from bcos_eval.stimuli.single import SingleKind

from .case import distinct_targets, scene_grid
from .clock import timed
from .explainer_suite import network_for
from .report import PassRow

DEFAULT_METHODS = ("bcos", "gradcam", "ixg")
# The share of positive evidence in a region, which is the grid pointing game where regions are cells.
_METRIC = "energy_pg/default"
# A single image's region is one of so many parts per side.
_PARTS = 2
N_SIDES = 2


@dataclass(frozen=True, slots=True)
class Stimuli:
    """Stimuli of one size.

    Attributes:
        n: Cells per side; 1 for single images.
        cell: Side of a cell in pixels.
        n_targets: Targets of each, at most one per cell.
        n_least: So many at least, and a full pass.
        seed: Which scenes and targets.
    """

    n: int
    cell: int
    n_targets: int
    n_least: int
    seed: int

    @property
    def label(self) -> str:
        """`images of 224×224`, `3×3 grids of 672×672`."""
        side = self.n * self.cell
        return f"images of {side}×{side}" if self.n == 1 else f"{self.n}×{self.n} grids of {side}×{side}"

    def one(self, number: int, n_classes: int) -> Stimulus:
        """Return one of them: each target's region is a cell, of single images the top left quarter."""
        per_side = _PARTS if self.n == 1 else self.n
        side = self.n * self.cell // per_side
        # An odd side has no half: the last row and column are left out.
        image = scene_grid(self.n, self.cell, self.seed + number)[0, :, : per_side * side, : per_side * side]
        regions = cell_regions(per_side, side, side, placement="row_major")[: self.n_targets]
        targets = distinct_targets(len(regions), n_classes, self.seed + number)[0]
        return Stimulus(f"bench/{number}", image, targets, regions, ("bench",) * len(regions))


def measure_passes(
    name: str,
    networks: Sequence[Classifier],
    stimuli: Stimuli,
    repeats: int,
    device: torch.device,
    advance: Callable[[int], None] = lambda _n: None,
) -> PassRow:
    """Return what one explainer takes for stimuli, each in a pass of its own and together, in turns.

    Args:
        name: Registered name.
        networks: Networks in the order asked for, on the device.
        stimuli: What is explained and scored.
        repeats: Repetitions; medians are reported.
        device: Where to compute.
        advance: Told of finished measurements, `N_SIDES` per repetition.

    Raises:
        InputError: If there is no such explainer.
    """
    network = network_for(name, networks)
    explainer = find_explainer(name)
    first = stimuli.one(0, network.num_classes)
    per_pass = 1
    if explains_together(device) and explainer.info.shares_passes:
        per_pass = BatchLimit(None, device).size(first)
    identity = (name, network.name, stimuli.label)
    try:
        explainer.check(network, {})
    except IncompatibleError as error:
        advance(N_SIDES * repeats)
        return PassRow(*identity, note=str(error))
    shown = [stimuli.one(number, network.num_classes) for number in range(max(stimuli.n_least, per_pass))]
    work = _Work(name, network, shown, device)
    scores = work.scores(1), work.scores(per_pass)  # the first calls, which do not count
    alone, together = [], []
    for _ in range(repeats):
        alone.append(timed(lambda: work.scores(1))[0] / len(shown))
        advance(1)
        together.append(timed(lambda: work.scores(per_pass))[0] / len(shown))
        advance(1)
    difference = float((scores[0] - scores[1]).abs().max())
    return PassRow(*identity, len(first.targets), len(shown), per_pass, tuple(alone), tuple(together), difference)


class _Work:
    """Explains and scores stimuli as a run does.

    Args:
        name: The explainer.
        network: The network.
        stimuli: What is explained.
        device: Where.
    """

    def __init__(self, name: str, network: Classifier, stimuli: Sequence[Stimulus], device: torch.device) -> None:
        self._method, self._metric = choose(find_explainer(name), []), choose(find_metric(_METRIC), [])
        self._network, self._stimuli, self._device = network, stimuli, device

    def scores(self, batch: int) -> torch.Tensor:
        """Return the scores `(N, K)`, made in batches of a size."""
        scored = []
        for first in range(0, len(self._stimuli), batch):
            scored += score_batch(
                self._network,
                self._method,
                [self._metric],
                self._stimuli[first : first + batch],
                seed=0,
                device=self._device,
                kind=SingleKind(),
            )
        return torch.tensor([entry.scores[0].values for entry in scored])
