"""AggAtt: attributions of many grids, aggregated by how well they localise."""

from __future__ import annotations

import functools
import math
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO, cast

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from bcos_eval.contract.metric import Metric
from bcos_eval.contract.network import Network
from bcos_eval.contract.precision import reference_precision
from bcos_eval.contract.stimulus import Stimulus
from bcos_eval.data import Dataset
from bcos_eval.errors import InputError
from bcos_eval.stimuli.grids.kind import GridKind
from bcos_eval.store.aggregates import AggregateAttribution, aggregate_path, load_aggregate, save_aggregate
from bcos_eval.store.atomic_write import require_writable
from bcos_eval.store.shards import Store

from .batch import BatchLimit
from .choice import Choice
from .plan import Cell, make_plan
from .progress import Progress
from .request import RunRequest, resolve
from .run_context import RunContext
from .score_bins import FEWEST_UNITS, ranked_bins
from .scoring import score_batch
from .shard_rows import method_facts

# DiFull and DiPart explain two cells of a grid, each by a network of its own.
_N_CORNERS = 2


def aggregate_attributions(
    request: RunRequest,
    root: Path,
    *,
    progress: Progress | None = None,
    networks: Mapping[str, Network] | None = None,
    dataset: Dataset | None = None,
) -> list[Path]:
    """Aggregate the attributions of each model, method and metric of a request, and store them.

    What is stored already for as many grids is not computed again.

    Args:
        request: What to aggregate; its metrics must be measured on grids.
        root: The folder of results.
        progress: Where notes and bars go.
        networks: Models that are given and not loaded by name.
        dataset: A dataset that is given and not loaded by name.

    Returns:
        The files, in the order of the request.

    Raises:
        InputError: If the request cannot be fulfilled.
    """
    choices = resolve(request)
    for metric in choices.metrics:
        _require_grids(metric)
    require_writable(root)
    context = RunContext(request, root, progress or Progress(), networks=networks, dataset=dataset)
    context.require_data()
    with reference_precision():
        cells = make_plan(context, choices, Store(root)).cells
        for cell in cells:
            _require_enough(cell, cell.n_stimuli)
        return [_stored(context, cell) for cell in cells]


def _require_grids(metric: Choice[Metric]) -> None:
    if metric.entry.info.stimulus != GridKind.name:
        raise InputError(
            f"aggatt shows attributions of grids and metric '{metric.name}' is not measured on them; use difull, "
            "dipart or grid_pg."
        )


def _require_enough(cell: Cell, n_grids: int) -> None:
    if n_grids < FEWEST_UNITS:
        raise InputError(
            f"aggatt ranks {FEWEST_UNITS} grids or more and '{cell.model}' has {n_grids} with a score by "
            f"'{cell.metric.name}'; use more --samples, smaller grids (--param NAME.n=2) or more images."
        )


def _stored(context: RunContext, cell: Cell) -> Path:
    path = aggregate_path(context.root, cell.folder)
    if not path.is_file() or load_aggregate(path).n_asked != cell.n_stimuli:
        save_aggregate(path, _aggregate(context, cell))
    return path


@dataclass(frozen=True, slots=True)
class _Ranked:
    """One explained grid without its map."""

    stimulus_id: str
    score: float
    inside: float


def _aggregate(context: RunContext, cell: Cell) -> AggregateAttribution:
    """Explain all grids; their maps wait on disk until all scores are known."""
    with tempfile.TemporaryFile(dir=context.root) as stream:
        region, grids = _explain_all(context, cell, stream)
        _require_enough(cell, len(grids))
        stream.flush()
        maps = np.memmap(stream, np.float32, mode="r", shape=(len(grids), *region.shape))
        bins = ranked_bins(np.array([grid.score for grid in grids]), np.array([grid.inside for grid in grids]))
        middles = [members[len(members) // 2] for members in bins]
        return AggregateAttribution(
            dataset=context.dataset(cell.model).name,
            model=cell.model,
            weights=context.network(cell.model).weights_id,
            method=method_facts(cell.method),
            metric=cell.metric.label,
            kind=cell.kind.label,
            n_asked=cell.n_stimuli,
            counts=np.array([len(members) for members in bins]),
            scores=np.array([math.fsum(grids[i].score for i in members) / len(members) for members in bins]),
            means=np.stack([_mean(maps, members) for members in bins]),
            examples=np.stack([maps[middle] for middle in middles]),
            example_ids=np.array([grids[middle].stimulus_id for middle in middles]),
            region=region,
        )


def _explain_all(context: RunContext, cell: Cell, stream: IO[bytes]) -> tuple[NDArray[np.bool_], list[_Ranked]]:
    """Write the positive maps of the grids that have a score to a file, and return the cell and the scores."""
    region = np.zeros((0, 0), dtype=np.bool_)
    grids = []
    with context.progress.bar(f"{cell.model}, {cell.method.label}", cell.n_stimuli, "grids") as bar:
        for stimulus in _stimuli(context, cell):
            positive, score = _explained(context, cell, stimulus)
            bar.advance(1)
            region = stimulus.regions[0].numpy()
            if math.isfinite(score):
                stream.write(positive.tobytes())
                inside = float(positive[region].sum(dtype=np.float64))
                grids.append(_Ranked(stimulus.stimulus_id, score, inside))
    if len(grids) < cell.n_stimuli:
        n_without = cell.n_stimuli - len(grids)
        context.progress.note(
            f"{cell.method.label}: {n_without} of {cell.n_stimuli} grids have no score and are in no bin."
        )
    return region, grids


def _stimuli(context: RunContext, cell: Cell) -> Iterator[Stimulus]:
    for position in range(cell.n_stimuli):
        for stimulus in context.stimuli(cell.model, cell.kind, position, position + 1):
            if isinstance(stimulus, Stimulus):
                yield stimulus if len(stimulus.targets) == _N_CORNERS else _first_target(stimulus)


def _first_target(stimulus: Stimulus) -> Stimulus:
    """Return the stimulus with its first target alone, in the top left cell, which is all that is shown."""
    return replace(
        stimulus,
        targets=stimulus.targets[:1],
        regions=stimulus.regions[:1],
        sample_ids=stimulus.sample_ids[:1],
    )


def _explained(context: RunContext, cell: Cell, stimulus: Stimulus) -> tuple[NDArray[np.float32], float]:
    """Return the positive map and the score of the first target."""
    score = functools.partial(
        score_batch,
        context.network(cell.model),
        cell.method,
        [cell.metric],
        seed=context.request.seed,
        device=context.device,
        kind=cell.kind,
        n_maps=1,
    )
    (scored,) = BatchLimit(1, context.device).apply(score, [stimulus])
    maps = cast("Tensor", scored.maps)  # a method that raises has ended the command
    return maps[0].clamp_min(0).float().numpy(), scored.scores[0].values[0]


def _mean(maps: NDArray[np.float32], members: NDArray[np.int64]) -> NDArray[np.float32]:
    total = np.zeros(maps.shape[1:])
    for member in members:  # one at a time: a bin can hold hundreds of large maps
        total += maps[member]
    return (total / len(members)).astype(np.float32)
