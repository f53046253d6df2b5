"""A whole run of the suite against the official localisation analysis: same network, images, grids and scores."""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import torch

from bcos_eval.errors import InputError
from bcos_eval.models import load_model
from bcos_eval.store.shards import Store

from .clock import threads
from .machine import machine
from .official_localisation import DATASET, RESULT_NAME, TASK_NAME, OfficialTask
from .phases import EXPLAINING, GRIDS, POOL, REST, SCORING, START_UP, STORING
from .report import SCHEMA_VERSION

MODEL = "bcos_resnet18"
N_STIMULI = 50
METHODS = ("bcos", "gradcam")
# Scores are shares in [0, 1] of float32 maps that two implementations add up in another order.
TOLERANCE = 1e-5
_PHASES = (START_UP, POOL, GRIDS, EXPLAINING, SCORING, STORING, REST)

# Small, since nobody checks their types. Arguments: when it began, where the phases go, what there is to do.
_OFFICIAL_PROGRAM = """
import sys
from pathlib import Path
from bcos_eval.bench.phases import Phases
phases = Phases(float(sys.argv[1]))
from bcos_eval.bench.official_localisation import localise
localise(Path(sys.argv[3]), phases)
phases.save(Path(sys.argv[2]))
"""
_OUR_PROGRAM = """
import sys
from pathlib import Path
from bcos_eval.bench.run_phases import phases_of_run
phases = phases_of_run(float(sys.argv[1]))
from bcos_eval.cli.main import main
try:
    main(sys.argv[3:])
finally:
    phases.save(Path(sys.argv[2]))
"""

# Scores of each method, by grid and cell, and the class of each cell.
Scores = Mapping[str, list[list[float]]]
Classes = list[list[int]]


@dataclass(frozen=True, slots=True)
class Side:
    """What one of the two took.

    Attributes:
        seconds: From start to end of the process, for each repetition.
        phases: Median seconds of each phase.
    """

    seconds: tuple[float, ...]
    phases: Mapping[str, float]

    @property
    def median(self) -> float:
        """Median seconds from start to end."""
        return statistics.median(self.seconds)


@dataclass(frozen=True, slots=True)
class EndToEndReport:
    """Both sides on the same work, with equal scores.

    Attributes:
        command: Our side.
        machine: Processor, threads, versions.
        threads: Threads of torch on both sides; None for its choice.
        load: Processes that wanted a core when the measurement began.
        n_grids: Grids.
        n_scores: Scores that were compared.
        max_difference: The largest difference between two of them.
        official: The official analysis.
        ours: The run.
    """

    command: str
    machine: Mapping[str, Any]
    threads: int | None
    load: float
    n_grids: int
    n_scores: int
    max_difference: float
    official: Side
    ours: Side

    @property
    def ratio(self) -> float:
        """How many times longer the official analysis takes; of medians."""
        return self.official.median / self.ours.median

    def as_json(self) -> dict[str, object]:
        """Return the report as plain values."""
        return {"schema": SCHEMA_VERSION, **asdict(self), "ratio": self.ratio}


def measure_end_to_end(
    models: Sequence[str],
    weights: Mapping[str, str],
    *,
    n: int,
    n_stimuli: int,
    repeats: int,
    n_threads: int | None = None,
    advance: Callable[[int], None] = lambda _n: None,
) -> EndToEndReport:
    """Run both sides in turn, each in a process and a folder of its own.

    Args:
        models: One B-cos network that has weights for the embedded dataset.
        weights: Its weights, if not the shipped ones.
        n: Cells per side of a grid.
        n_stimuli: Grids.
        repeats: How often; medians are reported.
        n_threads: Threads of torch on both sides; None for its choice.
        advance: Told of finished processes, two per repetition.

    Raises:
        InputError: If the official library cannot do the same work.
        RuntimeError: If a side fails, or their scores differ by more than `TOLERANCE`.
    """
    if len(models) != 1:
        raise InputError(f"--suite end_to_end takes one B-cos model and --model names {len(models)}; give one.")
    (model,) = models
    network = load_model(model, weights.get(model), DATASET)
    task = OfficialTask.of(network, METHODS, n, n_stimuli)
    arguments = _arguments(model, weights.get(model), n, n_stimuli)
    environment = dict(os.environ)
    if n_threads is not None:
        environment["OMP_NUM_THREADS"] = str(n_threads)
    load = os.getloadavg()[0]
    taken: dict[str, list[dict[str, float]]] = {"official": [], "ours": []}
    difference = 0.0
    for _ in range(repeats):
        with tempfile.TemporaryDirectory(prefix="bcos-eval-bench-") as scratch:
            folder = Path(scratch)
            torch.save(task, folder / TASK_NAME)
            taken["official"].append(_timed(_OFFICIAL_PROGRAM, folder, [str(folder)], environment))
            advance(1)
            run = [*arguments, "--out", str(folder / "out")]
            taken["ours"].append(_timed(_OUR_PROGRAM, folder, run, environment))
            advance(1)
            result = json.loads((folder / RESULT_NAME).read_text(encoding="utf-8"))
            found = _difference(result["scores"], result["targets"], *_stored_scores(folder / "out"))
            difference = max(difference, found)
    with threads(n_threads):
        here = machine()
    return EndToEndReport(
        command=f"bcos-eval {' '.join(arguments)}",
        machine=here,
        threads=n_threads,
        load=load,
        n_grids=len(result["targets"]),
        n_scores=len(METHODS) * len(result["targets"]) * n * n,
        max_difference=difference,
        official=_side(taken["official"]),
        ours=_side(taken["ours"]),
    )


def end_to_end_text(report: EndToEndReport) -> str:
    """Return a report as lines of text."""
    official, ours = report.official, report.ours
    lines = [
        f"{name:10}  {official.phases[name]:8.2f} s {official.phases[name] / official.median:6.0%}  "
        f"{ours.phases[name]:8.2f} s {ours.phases[name] / ours.median:6.0%}"
        for name in _PHASES
    ]
    head = (
        f"{report.command}\n{report.n_grids} grids, {report.n_scores} scores, largest difference "
        f"{report.max_difference:.0e}; {report.machine['cores']} cores, load {report.load:.1f}, medians of "
        f"{len(ours.seconds)}"
    )
    whole = f"{'whole':10}  {official.median:8.2f} s {'':6}  {ours.median:8.2f} s {'':6}  {report.ratio:.2f} ×"
    return "\n".join([head, f"{'':10}  {'official':>10} {'':6}  {'ours':>10}", *lines, whole]) + "\n"


def _arguments(model: str, weights: str | None, n: int, n_stimuli: int) -> list[str]:
    given = [] if weights is None else ["--weights", weights]
    work = ["--model", model, *given, "--method", ",".join(METHODS), "--metric", "grid_pg/bcos_v2"]
    size = ["--param", f"grid_pg.n={n}", "--samples", str(n_stimuli)]
    return ["run", *work, *size, "--dataset", DATASET, "--device", "cpu", "--quiet"]


def _timed(
    program: str, folder: Path, arguments: Sequence[str], environment: Mapping[str, str]
) -> dict[str, float]:
    """Run a program and return its seconds by phase; its end belongs to the rest."""
    path = folder / "phases.json"
    started = time.monotonic()
    ended = subprocess.run(
        [sys.executable, "-c", program, str(started), str(path), *arguments],
        capture_output=True,
        text=True,
        check=False,
        env=environment,
    )
    seconds = time.monotonic() - started
    if ended.returncode:
        raise RuntimeError(
            f"a side of the benchmark ended with {ended.returncode}: {ended.stderr.strip()[-2000:]}"
        )
    phases = json.loads(path.read_text(encoding="utf-8"))
    path.unlink()
    found = {name: phases.get(name, 0.0) for name in _PHASES}
    found[REST] += seconds - sum(found.values())
    return found


def _side(taken: Sequence[Mapping[str, float]]) -> Side:
    return Side(
        seconds=tuple(sum(phases.values()) for phases in taken),
        phases={name: statistics.median(phases[name] for phases in taken) for name in _PHASES},
    )


def _stored_scores(out: Path) -> tuple[Scores, Classes]:
    """Return the scores of a run by method, and the classes of its grids."""
    table = pa.concat_tables([shard.table for shard in Store(out).shards()])
    columns = table.select(["method", "stimulus", "unit", "target", "score"]).to_pydict()
    scores: dict[str, dict[str, list[float]]] = {}
    classes: dict[str, list[int]] = {}
    for method, stimulus, _unit, target, score in sorted(zip(*columns.values(), strict=True)):
        scores.setdefault(method, {}).setdefault(stimulus, []).append(score)
        if method == METHODS[0]:
            classes.setdefault(stimulus, []).append(target)
    return {method: list(own.values()) for method, own in scores.items()}, list(classes.values())


def _difference(official: Scores, official_classes: Classes, ours: Scores, classes: Classes) -> float:
    """Return the largest difference of two scores.

    Raises:
        RuntimeError: If the grids are others, or scores differ by more than `TOLERANCE`.
    """
    if official_classes != classes:
        raise RuntimeError(
            f"the official analysis made {len(official_classes)} grids and the run {len(classes)}, not all of the "
            "same classes; no ratio is printed"
        )
    difference = max(
        float((torch.tensor(official[method]) - torch.tensor(ours[method])).abs().max()) for method in METHODS
    )
    if not difference <= TOLERANCE:  # NaN is no agreement either
        raise RuntimeError(
            f"scores differ by up to {difference:.1e}, more than {TOLERANCE:.0e}; no ratio is printed"
        )
    return difference
