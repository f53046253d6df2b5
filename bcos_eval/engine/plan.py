"""From a request to cells (model × method × metric), their shards, and the tasks that are left to do."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from bcos_eval.contract.explainer import Explainer
from bcos_eval.contract.metric import Metric
from bcos_eval.contract.statuses import Status
from bcos_eval.data import CounterfactualDataset, Dataset
from bcos_eval.errors import IncompatibleError, InputError
from bcos_eval.stimuli import StimulusKind, stimulus_kind
from bcos_eval.store.facts import POPULATION, ShardAddress
from bcos_eval.store.shards import Store
from bcos_eval.version import NUMERICAL_VERSION

from .choice import Choice
from .request import Choices, RunRequest
from .run_context import RunContext

_CELL_DIGITS = 12
_SHARD_DIGITS = 16


@dataclass(frozen=True, slots=True)
class Cell:
    """One row of the leaderboard to be.

    Attributes:
        model: Model name.
        method: Explainer with its parameters.
        metric: Metric with its preset and parameters.
        kind: What it is measured on.
        n_stimuli: Number of stimuli.
        key: Everything that can change its numbers, but the range of stimuli.
    """

    model: str
    method: Choice[Explainer]
    metric: Choice[Metric]
    kind: StimulusKind
    n_stimuli: int
    key: Mapping[str, Any]

    @property
    def folder(self) -> str:
        """Folder of its shards: readable, and distinct by a digest of the key."""
        words = [self.key["dataset"]["name"], self.model, self.method.name, *self.metric.name.split("/")]
        readable = "-".join(re.sub(r"[^A-Za-z0-9_+.]", "_", word) for word in words)
        return f"{readable}-{_digest(self.key)[:_CELL_DIGITS]}"

    @property
    def n_units(self) -> int:
        """Number of units when it is finished: the targets of its stimuli."""
        return self.n_stimuli * self.kind.n_targets

    def shards(self) -> Iterator[Shard]:
        """Yield the shards in the order of their stimuli."""
        size = self.kind.per_shard
        for first in range(0, self.n_stimuli, size):
            yield Shard(self, first, min(first + size, self.n_stimuli))


@dataclass(frozen=True, slots=True)
class Shard:
    """The part of a cell that is stored as a whole: its stimuli from `first` to `stop` (exclusive)."""

    cell: Cell
    first: int
    stop: int

    @property
    def address(self) -> ShardAddress:
        """Where it is stored."""
        name = _digest({**self.cell.key, "range": [self.first, self.stop]})[:_SHARD_DIGITS]
        return ShardAddress(cell=self.cell.folder, shard=name)


@dataclass(frozen=True, slots=True)
class Task:
    """Attributions to make once, and the shards whose metrics want them.

    Attributes:
        shards: Shards of one model, method, kind of stimulus and range, one per metric.
    """

    shards: tuple[Shard, ...]

    @property
    def n_stimuli(self) -> int:
        """Number of stimuli to explain."""
        return self.shards[0].stop - self.shards[0].first


@dataclass(frozen=True, slots=True)
class Plan:
    """What a run consists of.

    Attributes:
        cells: All cells, in the order asked for.
        tasks: What is not stored yet, of the share that this process has.
    """

    cells: tuple[Cell, ...]
    tasks: tuple[Task, ...]

    def outline(self) -> str:
        """Return one line per cell, and how much of it is left to do."""
        n_left = sum(task.n_stimuli for task in self.tasks)
        lines = [
            f"{cell.model} × {cell.method.label} × {cell.metric.label}: "
            f"at most {cell.n_stimuli} {cell.kind.plural}"
            for cell in self.cells
        ]
        return (
            "\n".join([*lines, f"{len(lines)} rows of the leaderboard; {n_left} explained stimuli to compute"])
            + "\n"
        )

    def addresses(self) -> list[ShardAddress]:
        """Return where all shards lie, or will lie."""
        return [shard.address for cell in self.cells for shard in cell.shards()]


def make_plan(context: RunContext, choices: Choices, store: Store, *, counted: bool = True) -> Plan:
    """Return the cells of a request and the tasks that the store lacks.

    A combination that does not exist is left out with a note, unless it was the only thing asked for.

    Args:
        context: Models and data.
        choices: Methods and metrics.
        store: What is there already.
        counted: Whether to find out how many stimuli there are, for which pools of confident images are made;
            otherwise cells have the number asked for, which is the most there can be, and nothing is computed.

    Raises:
        InputError: If nothing is left.
    """
    refused: list[IncompatibleError] = []
    cells = tuple(
        cell for model in context.request.models for cell in _cells(context, choices, model, counted, refused)
    )
    reasons = list(dict.fromkeys(map(str, refused)))
    if not cells and len(reasons) == 1:
        raise refused[0]
    for reason in reasons:
        context.progress.note(f"left out: {reason}")
    if not cells:
        raise InputError("no combination of model, method and metric is left to run; see the notes above.")
    shards = [shard for cell in cells for shard in cell.shards()]
    return Plan(cells=cells, tasks=tasks_left(shards, context.request, store))


def tasks_left(shards: Sequence[Shard], request: RunRequest, store: Store) -> tuple[Task, ...]:
    """Return the tasks that make those of some shards that are not stored, of the share that this process has.

    With `until`, how a run goes on depends on all shards: those of its share come first, and the others follow
    unless another run computes them meanwhile.
    """
    tasks, share = _tasks(shards), request.share
    own = [task for number, task in tasks if share.has(number)]
    others = [] if request.until is None else [task for number, task in tasks if not share.has(number)]
    left = (_left(task, store, retry_failed=request.retry_failed) for task in (*own, *others))
    return tuple(task for task in left if task.shards)


def shards_of_model(context: RunContext, choices: Choices, model: str) -> dict[ShardAddress, Shard]:
    """Return all shards of a model, by address, as `make_plan` finds them."""
    cells = _cells(context, choices, model, counted=True, refused=[])
    return {shard.address: shard for cell in cells for shard in cell.shards()}


def _cells(
    context: RunContext, choices: Choices, model: str, counted: bool, refused: list[IncompatibleError]
) -> Iterator[Cell]:
    """Yield a model's cells; errors of those that do not exist are added to `refused`."""
    network = context.network(model)
    try:
        context.require_sound(model)
    except IncompatibleError as error:
        refused.append(error)
        return
    for method in choices.methods_for(network.is_bcos):
        for metric in choices.metrics:
            try:
                yield _cell(context, model, method, metric, counted)
            except IncompatibleError as error:
                refused.append(error)


def _cell(
    context: RunContext, model: str, method: Choice[Explainer], metric: Choice[Metric], counted: bool
) -> Cell:
    network, dataset, info = context.network(model), context.dataset(model), metric.entry.info
    method.entry.check(network, method.params)
    kind = stimulus_kind(info, metric.params, context.request.pool, context.request.target)
    if kind.needs_regions and info.chance == "area" and not dataset.has_regions:
        raise IncompatibleError(
            f"metric '{metric.name}' needs to know where the objects are and dataset '{dataset.name}' does not "
            "say; use a dataset with boxes or masks, or another metric."
        )
    if "counterfactuals" in info.needs and not isinstance(dataset, CounterfactualDataset):
        raise IncompatibleError(
            f"metric '{metric.name}' compares with scenes that lack a part and dataset '{dataset.name}' cannot "
            "render them; use --dataset shapes or shapes_trigger, or another metric."
        )
    _check_classes(kind, dataset, metric.name)
    kind.check(network, method.name, method.params, metric.name)
    context.require_size(model, kind)
    if caution := kind.caution(network, metric.name):
        context.progress.note(caution)
    n_stimuli = asked = context.request.n_samples
    if counted:
        n_stimuli = _n_stimuli(context, model, metric, kind)
    if n_stimuli < asked:
        context.progress.note(f"{model}: {n_stimuli} {kind.plural} instead of {asked}; the data give no more.")
    return Cell(model, method, metric, kind, n_stimuli, _cell_key(context, model, method, metric, kind, counted))


def _check_classes(kind: StimulusKind, dataset: Dataset, metric: str) -> None:
    try:
        kind.check_classes(dataset)
    except IncompatibleError as error:
        raise IncompatibleError(
            f"metric '{metric}': {error}".replace("METRIC", metric.partition("/")[0])
        ) from error


def _n_stimuli(context: RunContext, model: str, metric: Choice[Metric], kind: StimulusKind) -> int:
    """Return how many stimuli there are; rules differ in the images they accept, so a refusal names the metric."""
    try:
        return len(context.source(model, kind))
    except IncompatibleError as error:
        n_models = len(context.request.models)
        by_all = (
            f" All {n_models} models must agree; run them alone." if kind.pools_all_models and n_models > 1 else ""
        )
        raise IncompatibleError(f"metric '{metric.name}' on '{model}': {error}{by_all}") from error


def _cell_key(
    context: RunContext,
    model: str,
    method: Choice[Explainer],
    metric: Choice[Metric],
    kind: StimulusKind,
    counted: bool,
) -> dict[str, Any]:
    dataset, network = context.dataset(model), context.network(model)
    pooled = context.request.models if kind.pools_all_models else (model,)
    is_shuffled = counted and context.shuffled(model, kind) is not None
    return {
        **({POPULATION: len(context.source(model, kind))} if is_shuffled else {}),
        "numbers": NUMERICAL_VERSION,
        "dataset": {"name": dataset.name, "digest": dataset.digest()},
        "model": {"name": model, "weights": network.weights_id},
        "method": method.as_json(),
        "metric": metric.as_json(),
        "stimulus": {
            **kind.as_json(),
            "models": sorted(f"{name}:{context.network(name).weights_id}" for name in pooled),
        },
        "seed": context.request.seed,
    }


def _tasks(shards: Sequence[Shard]) -> list[tuple[int, Task]]:
    """Group shards by what they are measured on, with the number that says whose share each task is.

    Models, kinds and methods take turns, so that estimates of the time settle early, and equal ranges of kinds
    that share pictures follow each other, so that attributions are made once. The numbers do not follow that
    order: whatever the number of shares, each has its part of every range and of every method.
    """
    wanted: dict[tuple[str, StimulusKind, int, int], dict[str, list[Shard]]] = {}
    for shard in shards:
        place = (shard.cell.model, shard.cell.kind, shard.first, shard.stop)
        wanted.setdefault(place, {}).setdefault(shard.cell.method.label, []).append(shard)
    tasks = [
        (place + number, Task(tuple(own)))
        for place, methods in enumerate(wanted.values())
        for number, own in enumerate(methods.values())
    ]
    return sorted(tasks, key=lambda numbered: numbered[1].shards[0].first / numbered[1].shards[0].cell.n_stimuli)


def _left(task: Task, store: Store, *, retry_failed: bool) -> Task:
    return Task(tuple(one for one in task.shards if not is_done(store, one, retry_failed=retry_failed)))


def is_done(store: Store, shard: Shard, *, retry_failed: bool = False) -> bool:
    """Whether a shard is stored, and if failed units are to be tried again, has none."""
    if not store.has(shard.address):
        return False
    if retry_failed and Status.FAILED in store.statuses(shard.address):
        store.states.pop(shard.address, None)  # it will be another
        return False
    return True


def _digest(key: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(key, sort_keys=True).encode()).hexdigest()
