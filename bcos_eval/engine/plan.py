"""From a request to cells (model × method × metric), their shards, and the tasks that are left to do."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from bcos_eval.contract.plugins import find_explainer, find_metric, own_code
from bcos_eval.data import CounterfactualDataset
from bcos_eval.errors import IncompatibleError, InputError
from bcos_eval.stimuli.source import SINGLE, StimulusKind, stimulus_kind
from bcos_eval.stimuli.view_checks import check_view
from bcos_eval.store.facts import ShardAddress
from bcos_eval.store.shards import SCHEMA_VERSION, Store
from bcos_eval.version import __version__

from .choice import Choice
from .request import Choices
from .run_context import Workplace

# What an interruption can cost. Grids are large and have many targets, so fewer of them make a shard.
_SINGLES_PER_SHARD = 50
_GRIDS_PER_SHARD = 10
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
    method: Choice
    metric: Choice
    kind: StimulusKind
    n_stimuli: int
    key: Mapping[str, Any]

    @property
    def folder(self) -> str:
        """Folder of its shards: readable, and distinct by a digest of the key."""
        words = [self.key["dataset"]["name"], self.model, self.method.name, *self.metric.name.split("/")]
        readable = "-".join(re.sub(r"[^A-Za-z0-9_+.]", "_", word) for word in words)
        return f"{readable}-{_digest(self.key)[:_CELL_DIGITS]}"

    def shards(self) -> Iterator[Shard]:
        """Yield the shards in the order of their stimuli."""
        size = _SINGLES_PER_SHARD if self.kind == SINGLE else _GRIDS_PER_SHARD
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
        tasks: What is not stored yet.
    """

    cells: tuple[Cell, ...]
    tasks: tuple[Task, ...]

    def addresses(self) -> list[ShardAddress]:
        """Return where all shards lie, or will lie."""
        return [shard.address for cell in self.cells for shard in cell.shards()]


def make_plan(workplace: Workplace, choices: Choices, store: Store) -> Plan:
    """Return the cells of a request and the tasks that the store lacks.

    With several models, a combination that does not exist is left out with a note.

    Raises:
        InputError: If nothing is left, or a combination does not exist for the only model.
    """
    cells = tuple(cell for model in workplace.request.models for cell in _cells(workplace, choices, model))
    if not cells:
        raise InputError("no combination of model, method and metric is left to run; see the notes above.")
    return Plan(cells=cells, tasks=_tasks(cells, store))


def _cells(workplace: Workplace, choices: Choices, model: str) -> Iterator[Cell]:
    network = workplace.network(model)
    for method in choices.methods_for(network.is_bcos):
        for metric in choices.metrics:
            try:
                yield _cell(workplace, model, method, metric)
            except IncompatibleError as error:
                if len(workplace.request.models) == 1:
                    raise
                workplace.progress.note(f"left out: {error}")


def _cell(workplace: Workplace, model: str, method: Choice, metric: Choice) -> Cell:
    network, dataset = workplace.network(model), workplace.dataset(model)
    find_explainer(method.name).check(network, method.params)
    info = find_metric(metric.name).info
    if info.stimulus == "single" and info.chance == "area" and not dataset.has_regions:
        raise IncompatibleError(
            f"metric '{metric.name}' needs to know where the objects are and dataset '{dataset.name}' does not "
            "say; use a dataset with boxes or masks, or another metric."
        )
    if info.needs_counterfactuals and not isinstance(dataset, CounterfactualDataset):
        raise IncompatibleError(
            f"metric '{metric.name}' compares with scenes that lack a part and dataset '{dataset.name}' cannot "
            "render them; use --dataset shapes, or another metric."
        )
    kind = stimulus_kind(info, metric.params, workplace.request.pool)
    check_view(network, method, metric, kind)
    workplace.require_grid_size(model, kind)
    n_stimuli, asked = _n_stimuli(workplace, model, metric, kind), workplace.request.n_samples
    if n_stimuli < asked:
        workplace.progress.note(f"{model}: {n_stimuli} {kind.plural} instead of {asked}; the data give no more.")
    return Cell(model, method, metric, kind, n_stimuli, _cell_key(workplace, model, method, metric, kind))


def _n_stimuli(workplace: Workplace, model: str, metric: Choice, kind: StimulusKind) -> int:
    """Return how many stimuli there are; rules differ in the images they accept, so a refusal names the metric."""
    try:
        return len(workplace.source(model, kind))
    except IncompatibleError as error:
        n_models = len(workplace.request.models)
        by_all = (
            f" All {n_models} models must agree; run them alone." if kind.pools_all_models and n_models > 1 else ""
        )
        raise IncompatibleError(f"metric '{metric.name}' on '{model}': {error}{by_all}") from error


def _cell_key(
    workplace: Workplace, model: str, method: Choice, metric: Choice, kind: StimulusKind
) -> dict[str, Any]:
    dataset, network = workplace.dataset(model), workplace.network(model)
    pooled = workplace.request.models if kind.pools_all_models else (model,)
    return {
        "schema": SCHEMA_VERSION,
        "version": __version__,
        "dataset": {"name": dataset.name, "digest": dataset.digest()},
        "model": {"name": model, "weights": network.weights_id},
        "method": {"name": method.name, "params": dict(method.params), **own_code("method", method.name)},
        "metric": {"name": metric.name, "params": dict(metric.params), **own_code("metric", metric.name)},
        "stimulus": {
            **kind.as_json(),
            "models": sorted(f"{name}:{workplace.network(name).weights_id}" for name in pooled),
        },
        "seed": workplace.request.seed,
    }


def _tasks(cells: Sequence[Cell], store: Store) -> tuple[Task, ...]:
    """Group missing shards by what they are measured on; methods alternate, so that estimates settle early."""
    wanted: dict[tuple[str, StimulusKind, int, int], dict[str, list[Shard]]] = {}
    for cell in cells:
        for shard in cell.shards():
            if not store.has(shard.address):
                place = (cell.model, cell.kind, shard.first, shard.stop)
                wanted.setdefault(place, {}).setdefault(cell.method.label, []).append(shard)
    return tuple(Task(tuple(shards)) for methods in wanted.values() for shards in methods.values())


def _digest(key: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(key, sort_keys=True).encode()).hexdigest()
