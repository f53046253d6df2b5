"""`--until`: cells that stop as soon as the interval of their mean is short enough.

The stimuli of a cell have one fixed order. Where they are ranked by how sure a model is of them it is drawn at
random, since what it is surest of scores best (`grid_pg` on `shapes`: r = −.8 with the place). After every so many
the cell's confidence sequence, which holds whenever one stops, is brought up to date, and the cell ends if its
half-width is below the value asked for. Only scores decide, at places that are fixed beforehand: workers, an
interruption or other cells change nothing.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

from bcos_eval.contract.metric import Metric
from bcos_eval.errors import InputError
from bcos_eval.statistics.sequences import ConfidenceSequence, cluster_means
from bcos_eval.stimuli import StimulusKind
from bcos_eval.store.facts import POPULATION
from bcos_eval.store.shards import Store

from .choice import Choice
from .plan import Cell, Plan, Shard, Task, tasks_left
from .run_context import RunContext

# Enough for several workers, and few beside the hundreds it takes; rounded to whole shards.
_STIMULI_PER_LOOK = 50


def require_stoppable(metrics: Sequence[Choice[Metric]], until: float) -> None:
    """Refuse metrics whose mean has no interval that holds whenever one stops.

    Raises:
        InputError: If a metric has no bounded range, a mean over classes, or a range that `until` exceeds.
    """
    for metric in metrics:
        info = metric.entry.info
        remedy = "leave --until out, or run this metric alone with --samples."
        if not (math.isfinite(info.low) and math.isfinite(info.high)):
            raise InputError(
                f"--until {until:g} needs scores of a bounded range and metric '{metric.name}' has none; {remedy}"
            )
        if info.mean_over_classes:
            raise InputError(
                f"--until {until:g} needs a mean over units, and metric '{metric.name}' has one over classes; "
                f"{remedy}"
            )


def look_size(kind: StimulusKind) -> int:
    """Return the number of stimuli between two looks at an interval."""
    return kind.per_shard * max(round(_STIMULI_PER_LOOK / kind.per_shard), 1)


def compute_until(
    context: RunContext,
    plan: Plan,
    store: Store,
    compute: Callable[[Sequence[Task]], None],
    skip: Callable[[int], None],
) -> tuple[Cell, ...]:
    """Compute cells look by look, until each is precise enough or has all its stimuli.

    Args:
        context: Models and data.
        plan: The cells with the most stimuli they may have.
        store: Where shards go.
        compute: Computes and stores tasks.
        skip: Told the number of stimuli that need not be explained after all.

    Returns:
        The cells with the number of stimuli they have.
    """
    growing = [_Growing(cell, context.request.until or math.inf) for cell in plan.cells]
    waiting = plan.tasks
    while any(one.is_open for one in growing):
        shards = [shard for one in growing for shard in one.next_shards()]
        compute(tasks_left(shards, context.request, store))
        for one in growing:
            one.look(store)
        looked_at = {shard.address for shard in shards}
        still_open = {one.cell.folder for one in growing if one.is_open}
        later = [task for task in waiting if looked_at.isdisjoint(shard.address for shard in task.shards)]
        waiting = tuple(task for task in later if any(shard.cell.folder in still_open for shard in task.shards))
        skip(sum(task.n_stimuli for task in later) - sum(task.n_stimuli for task in waiting))
    return tuple(replace(one.cell, n_stimuli=one.n_seen) for one in growing)


@dataclass(slots=True)
class _Growing:
    """A cell, and how far it has come."""

    cell: Cell
    until: float
    n_seen: int = 0
    is_open: bool = True
    sequence: ConfidenceSequence = field(init=False)

    def __post_init__(self) -> None:
        info = self.cell.metric.entry.info
        self.sequence = ConfidenceSequence(
            info.low, info.high, target=self.until, population=self.cell.key.get(POPULATION)
        )

    def next_shards(self) -> list[Shard]:
        if not self.is_open:
            return []
        stop = self.n_seen + look_size(self.cell.kind)
        return [shard for shard in self.cell.shards() if self.n_seen <= shard.first < stop]

    def look(self, store: Store) -> None:
        """Take the scores of the next shards; what workers lost ends the cell, with which a later run goes on."""
        for shard in self.next_shards():
            stored = store.read(shard.address)
            if stored is None:
                self.is_open = False
                return
            self.sequence.update(cluster_means(stored.numbers("score"), stored.texts("stimulus")))
            self.n_seen = shard.stop
        self.is_open = self.n_seen < self.cell.n_stimuli and self.sequence.half_width >= self.until
