"""One task of a plan: attributions made once, scored by every metric that lacks them, stored."""

from __future__ import annotations

import functools
import time
from collections.abc import Callable

from bcos_eval.stimuli import Unreadable
from bcos_eval.store.examples import MAX_TARGETS
from bcos_eval.store.shards import Store

from .batch import BatchLimit, explains_together
from .example_maps import keep_examples, keep_maps
from .plan import Task, is_done
from .run_context import RunContext
from .scoring import ScoredStimulus, score_batch
from .shard_rows import shard_of_rows


def compute_unclaimed(
    context: RunContext,
    task: Task,
    store: Store,
    limit: BatchLimit,
    advance: Callable[[int], None],
) -> Task | None:
    """Compute the shards of a task that no other process is computing; arguments as for `compute`.

    Returns:
        The shards that others are computing, as a task for later; None if there are none.
    """
    with context.claims.held([shard.address.shard for shard in task.shards]) as mine:
        retry = context.request.retry_failed
        free = [shard for shard in task.shards if shard.address.shard in mine]
        todo = tuple(shard for shard in free if not is_done(store, shard, retry_failed=retry))
        if todo:
            compute(context, Task(todo), store, limit, advance)
    others = tuple(shard for shard in task.shards if shard.address.shard not in mine and not is_done(store, shard))
    if others:
        return Task(others)
    if not todo:
        advance(task.n_stimuli)
    return None


def compute(
    context: RunContext, task: Task, store: Store, limit: BatchLimit, advance: Callable[[int], None]
) -> None:
    """Explain the stimuli of a task, score them by each of its metrics, and store the shards.

    Args:
        context: Models and data.
        task: What to do.
        store: Where the shards go.
        limit: Stimuli per batch, which shrinks when memory runs out.
        advance: Told the number of stimuli explained, for a progress bar.

    Raises:
        InputError: If a single stimulus does not fit into memory.
    """
    started = time.perf_counter()
    cell, first, stop = task.shards[0].cell, task.shards[0].first, task.shards[0].stop
    entries = context.stimuli(cell.model, cell.kind, first, stop)
    readable = [entry for entry in entries if not isinstance(entry, Unreadable)]
    if _has_own_code(task):
        context.keep_state(cell.model)
    score = functools.partial(
        score_batch,
        context.network(cell.model),
        cell.method,
        [shard.cell.metric for shard in task.shards],
        kind=cell.kind,
        seed=context.request.seed,
        device=context.device,
        n_maps=None if context.request.keep_maps else MAX_TARGETS if first == 0 else 0,
        memory=context.memory(cell.model),
        failures=context.failures,
        restore=functools.partial(context.restore, cell.model) if _has_own_code(task) else None,
        kept=context.kept_maps(cell.model, cell.kind),
    )
    scored: list[ScoredStimulus] = []
    for batch in limit.batches(readable):
        # What the suite refuses on the very first stimulus is wrong with the request and not with an image.
        scored += limit.apply(functools.partial(score, may_refuse=first == 0 and not scored), batch)
        advance(len(batch))
    if limit.reached is not None and explains_together(context.device):
        context.progress.note(
            f"memory ran out with {limit.reached} stimuli in a pass; smaller passes may change the sixth digit of "
            "scores."
        )
    for entry in entries:
        if isinstance(entry, Unreadable):
            context.progress.note(f"skipped an image: {entry.reason}")
            advance(1)
    if first == 0:
        keep_examples(context, cell, scored)
    if context.request.keep_maps:
        keep_maps(context, cell, first, stop, scored)
    of_stimulus = {entry.stimulus.stimulus_id: entry for entry in scored}
    rows = [entry if isinstance(entry, Unreadable) else of_stimulus[entry.stimulus_id] for entry in entries]
    last = stop if context.shuffled(cell.model, cell.kind) is None else cell.n_stimuli
    n_looked_at = cell.kind.n_looked_at(context.source(cell.model, cell.kind), last)
    for position, shard in enumerate(task.shards):
        store.write(shard_of_rows(shard, rows, position, n_looked_at))
    metrics = ", ".join(shard.cell.metric.label for shard in task.shards)
    context.progress.detail(
        f"{cell.model} × {cell.method.label} × {metrics}: {cell.kind.plural} {first + 1} to {stop} in "
        f"{time.perf_counter() - started:.1f} s"
    )


def _has_own_code(task: Task) -> bool:
    return any(shard.cell.method.entry.code or shard.cell.metric.entry.code for shard in task.shards)
