"""A run from request to stored units."""

from __future__ import annotations

import functools
import json
import os
import platform
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import torch

from bcos_eval.contract.network import Network
from bcos_eval.contract.precision import reference_precision
from bcos_eval.contract.statuses import Status
from bcos_eval.data import Dataset
from bcos_eval.data.classes import RelabelledDataset
from bcos_eval.models import load_model
from bcos_eval.models.weights_origin import Fetch, asked_about, missing_weights
from bcos_eval.store.atomic_write import remove_leftovers, require_writable
from bcos_eval.store.claims import Claims
from bcos_eval.store.facts import ShardAddress
from bcos_eval.store.manifest import Outcome, RunRecord, close_ended_records, read_runs
from bcos_eval.store.process import this_process
from bcos_eval.store.shards import Store, StoredShard
from bcos_eval.user_code.network import choose_device

from .cost import cost_lines
from .executors import execute, require_executor
from .failures import LOG_NAME, require_time_limit
from .plan import Cell, Plan, Task, make_plan
from .progress import RUN_LOG_NAME, Bar, Progress
from .request import RunRequest, resolve
from .run_context import RunContext
from .stopping import compute_until, look_size, require_stoppable

_N_NAMED = 5


@dataclass(frozen=True)
class RunResult:
    """What a run asked for and now finds in the store.

    Attributes:
        store: Where the results are.
        addresses: Where all shards of the request lie, stored now or before.
        n_computed: Number of tasks that had to be computed.
        notes: What was skipped, failed or fell short.
        n_failed: Number of units on which code raised.
        n_lost: Number of tasks whose workers ended without a word.
    """

    store: Store
    addresses: tuple[ShardAddress, ...]
    n_computed: int
    notes: tuple[str, ...]
    n_failed: int = 0
    n_lost: int = 0

    @cached_property
    def shards(self) -> tuple[StoredShard, ...]:
        """All shards of the request; they are read when they are first asked for, since there can be many."""
        return tuple(self.store.read_all(self.addresses))


def run(
    request: RunRequest,
    root: Path,
    *,
    progress: Progress | None = None,
    networks: Mapping[str, Network] | None = None,
    dataset: Dataset | None = None,
) -> RunResult:
    """Compute what a request asks for and the store does not have, and return all of it.

    What is finished stays stored, whatever happens; the same request goes on where it was interrupted.

    Args:
        request: What to evaluate.
        root: The folder of results.
        progress: Where notes and bars go.
        networks: Models that are given and not loaded by name.
        dataset: A dataset that is given and not loaded by name.

    Raises:
        InputError: If the request cannot be fulfilled; nothing has been computed then, as a rule.
    """
    choices = resolve(request)
    require_executor(request, has_objects=bool(networks) or dataset is not None)
    require_writable(root)
    remove_leftovers(root)
    Claims(root).remove_ended()
    close_ended_records(root)
    read_runs(root)  # a manifest that is not ours is refused before the work, not after it
    progress = progress or Progress()
    progress.log = root / RUN_LOG_NAME
    progress.detail(f"process {this_process()} begins: {json.dumps(request.as_json())}")
    store = Store(root)
    context = RunContext(request, root, progress, networks=networks, dataset=dataset)
    context.require_data()
    if request.unit_timeout is not None:
        require_time_limit()
    if request.until is not None:
        require_stoppable(choices.metrics, request.until)
    elif request.share.count > 1:
        progress.note(f"this run computes share {request.share} of the work; others must compute the rest.")
    with reference_precision(), progress.bar("explained", 0, "stimuli") as bar:
        plan = make_plan(context, choices, store)
        _say_regions(context, plan)
        record = _record(context, plan)
        with _recorded(record, root, progress), context.resources:
            cells = _compute(context, plan, store, bar)
            record.planned = _n_units(cells)
            addresses = tuple(shard.address for cell in cells for shard in cell.shards())
            _note_skipped_images(context, store, addresses, record)
            n_failed = _note_failed_units(context, store, addresses)
    for path in dict.fromkeys(store.ignored):
        progress.note(f"computed '{path}' again, which was damaged.")
    return RunResult(store, addresses, context.n_tasks, tuple(progress.notes), n_failed, context.n_lost_tasks)


def outline(
    request: RunRequest,
    root: Path,
    *,
    progress: Progress | None = None,
    networks: Mapping[str, Network] | None = None,
    dataset: Dataset | None = None,
) -> str:
    """Return what `run` would do and cost, from the same plan, in lines of text; nothing is fetched or written.

    Arguments as for `run`. How many grids the confident images fill is known only after a pass over the data, so
    numbers of stimuli are the most there can be. Passes and seconds are those of one stimulus, which is explained
    and scored, times their number; a network whose weights are not here yet is timed with random ones.

    Raises:
        InputError: If the request cannot be fulfilled.
    """
    choices = resolve(request)
    fetches = _missing_weights(request, networks or {})
    stand_ins = {fetch.model: load_model(fetch.model, "random", request.dataset) for fetch in fetches}
    device = choose_device(request.device)
    context = RunContext(
        request,
        root,
        progress or Progress(),
        networks={**(networks or {}), **{name: network.to(device) for name, network in stand_ins.items()}},
        dataset=dataset,
    )
    context.require_data()
    with reference_precision():
        plan = make_plan(context, choices, Store(root), counted=False)
        return plan.outline() + "".join(f"{line}\n" for line in cost_lines(context, plan, fetches))


def _missing_weights(request: RunRequest, networks: Mapping[str, Network]) -> list[Fetch]:
    """Return the weights that a run would have to fetch, and whether they can be had."""
    named = [name for name in request.models if name not in networks and name not in request.model_files]
    missing = {name: missing_weights(name, request.weights.get(name), request.dataset) for name in named}
    return [asked_about(name, published) for name, published in missing.items() if published is not None]


def _say_regions(context: RunContext, plan: Plan) -> None:
    """Say how many images have a known region, where scores depend on it and the dataset can tell."""
    cells = [cell for cell in plan.cells if cell.kind.needs_regions and cell.metric.entry.info.chance == "area"]
    dataset = context.dataset(cells[0].model) if cells else None
    while isinstance(dataset, RelabelledDataset):
        dataset = dataset.dataset
    count = getattr(dataset, "n_regions", None)
    if dataset is not None and count is not None:
        context.progress.say(f"{count()} of {len(dataset)} images of '{dataset.name}' have boxes or masks.")


def _compute(context: RunContext, plan: Plan, store: Store, bar: Bar) -> tuple[Cell, ...]:
    """Compute what is left of a plan, and return its cells with the stimuli that they needed."""
    n_stimuli = sum(task.n_stimuli for task in plan.tasks)
    n_shards = len(plan.addresses())
    n_missing = sum(len(task.shards) for task in plan.tasks)
    if n_missing < n_shards:
        context.progress.say(f"{n_shards - n_missing} of {n_shards} shards are stored already.")
    if not plan.tasks and context.request.until is None:
        return plan.cells
    bar.expect(n_stimuli)
    compute = functools.partial(_execute, context, store, bar.advance)
    if context.request.until is not None:
        return compute_until(context, plan, store, compute, bar.skip)
    compute(plan.tasks)
    return plan.cells


def _execute(context: RunContext, store: Store, advance: Callable[[int], None], tasks: Sequence[Task]) -> None:
    if tasks:
        context.n_tasks += len(tasks)
        execute(context, tasks, store, advance)


def _n_units(cells: Sequence[Cell]) -> dict[str, int]:
    return {cell.folder: cell.n_units for cell in cells}


def _record(context: RunContext, plan: Plan) -> RunRecord:
    models = dict.fromkeys(cell.model for cell in plan.cells)
    cells = plan.cells
    if context.request.until is not None:  # what they need at least, until it is known
        cells = tuple(replace(cell, n_stimuli=min(cell.n_stimuli, look_size(cell.kind))) for cell in cells)
    dataset = context.dataset(plan.cells[0].model)
    return RunRecord(
        asked=context.request.as_json(),
        dataset={
            "name": dataset.name,
            "digest": dataset.digest(),
            "n_images": len(dataset),
            "input_sizes": {model: context.network(model).input_size for model in models},
        },
        weights={model: context.network(model).weights_id for model in models},
        cells=[cell.folder for cell in plan.cells],
        planned=_n_units(cells),
        machine=_machine(),
    )


def _machine() -> dict[str, object]:
    return {
        "system": platform.platform(),
        "processor": platform.machine(),
        "cores": os.cpu_count(),
        "gpus": [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())],
        "threads": torch.get_num_threads(),
    }


@contextmanager
def _recorded(record: RunRecord, root: Path, progress: Progress) -> Iterator[None]:
    """Write the manifest before and after the block, with how the block ended."""
    record.save(root, "running")
    outcome: Outcome = "failed"
    try:
        yield
        outcome = "finished"
    except KeyboardInterrupt:
        outcome = "interrupted"
        raise
    finally:
        progress.detail(f"process {record.process}: {outcome}")
        record.notes = list(progress.notes)
        record.save(root, outcome)


def _shards_with(status: Status, store: Store, addresses: Sequence[ShardAddress]) -> list[StoredShard]:
    return store.read_all(address for address in addresses if status in store.statuses(address))


def _note_skipped_images(
    context: RunContext, store: Store, addresses: Sequence[ShardAddress], record: RunRecord
) -> None:
    skipped = {name for pool in context.pools().values() for name in pool.unreadable}
    for shard in _shards_with(Status.SKIPPED, store, addresses):
        statuses, samples = shard.table["status"].to_pylist(), shard.table["sample_id"].to_pylist()
        skipped |= {sample for sample, status in zip(samples, statuses, strict=True) if status == Status.SKIPPED}
    record.n_skipped_images = len(skipped)
    if skipped:
        named = ", ".join(sorted(skipped)[:_N_NAMED]) + (", …" if len(skipped) > _N_NAMED else "")
        context.progress.note(f"unreadable images that were skipped: {len(skipped)} ({named}).")


def _note_failed_units(context: RunContext, store: Store, addresses: Sequence[ShardAddress]) -> int:
    """Say where units failed, with the first reason of each row of the leaderboard, and return how many did."""
    failed: dict[str, list[str]] = {}
    for shard in _shards_with(Status.FAILED, store, addresses):
        facts = shard.facts
        row = f"{shard.texts('model')[0]} × {facts.method.label} × {facts.metric.name}/{facts.metric.preset_label}"
        statuses, reasons = shard.texts("status"), shard.texts("reason")
        failed.setdefault(row, []).extend(
            reason for status, reason in zip(statuses, reasons, strict=True) if status == Status.FAILED
        )
    for row, reasons in failed.items():
        if reasons:
            context.progress.note(f"{row}: {len(reasons)} units failed: {reasons[0]}")
    n_failed = sum(map(len, failed.values()))
    if n_failed:
        context.progress.note(
            f"failed units: {n_failed}; their tracebacks are in '{context.root / LOG_NAME}', "
            "--retry-failed computes them again."
        )
    return n_failed
