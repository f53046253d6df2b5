"""What workers gain: two of one thread each beside one process with one thread, and with two."""

from __future__ import annotations

import os
import statistics
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from .command import CommandTime, timed_command

# Moderately long: shipped networks, their usual explainers, grids and images.
MODEL = "bcos_resnet18"
N_STIMULI = 200
_ARGUMENTS = (
    "run",
    "--model",
    MODEL,
    "--method",
    "bcos,gradcam,ixg",
    "--metric",
    "grid_pg,energy_pg",
    "--device",
    "cpu",
)
_N_WORKERS = 2


@dataclass(frozen=True, slots=True)
class WorkerRow:
    """A way to run the same work.

    Attributes:
        name: What it is.
        workers: Processes that compute.
        threads: Threads of torch in each.
        seconds: Median time from start to end.
        cpu_seconds: Median processor time of all processes.
        path_seconds: Median processor time along the longest path, which is what an idle machine takes: the
            command's own and, since workers take jobs when they are free, an equal part of theirs. Unknown (None)
            with several threads.
        speedup: Of `seconds`, beside the first row.
        path_speedup: Of `path_seconds`, likewise.
    """

    name: str
    workers: int
    threads: int
    seconds: float
    cpu_seconds: float
    path_seconds: float | None
    speedup: float = 1.0
    path_speedup: float | None = 1.0


@dataclass(frozen=True, slots=True)
class WorkerReport:
    """Measurements of one piece of work.

    Attributes:
        command: The work.
        repeats: How often each row was measured, in turn with the others.
        cores: Cores of the machine.
        load: Processes that wanted a core when the measurement began; times suffer from them, paths hardly.
        rows: One row for each way, the single process first.
    """

    command: str
    repeats: int
    cores: int
    load: float
    rows: tuple[WorkerRow, ...]

    def as_json(self) -> dict[str, object]:
        """Return the report as plain values."""
        return asdict(self)


def measure_workers(n_samples: int, repeats: int) -> WorkerReport:
    """Run the same work in each way, in turn.

    Args:
        n_samples: Stimuli of each kind.
        repeats: How often.
    """
    ways = {
        "one process, one thread": (1, 1),
        "one process, two threads": (1, 2),
        "two workers, one thread each": (_N_WORKERS, 1),
    }
    arguments = (*_ARGUMENTS, "--samples", str(n_samples), "--quiet")
    load = os.getloadavg()[0]
    times: dict[str, list[CommandTime]] = {name: [] for name in ways}
    for _ in range(repeats):
        for name, (workers, threads) in ways.items():
            with tempfile.TemporaryDirectory(prefix="bcos-eval-bench-") as folder:
                command = (*arguments, "--workers", str(workers), "--out", str(Path(folder, "out")))
                times[name].append(timed_command(command, threads))
    rows = [_row(name, *ways[name], taken) for name, taken in times.items()]
    return WorkerReport(
        command=f"bcos-eval {' '.join(arguments)}",
        repeats=repeats,
        cores=os.cpu_count() or 1,
        load=load,
        rows=tuple(_beside(row, rows[0]) for row in rows),
    )


def workers_text(report: WorkerReport) -> str:
    """Return a report as lines of text."""
    width = max(len(row.name) for row in report.rows)
    lines = [
        f"{row.name:{width}}  {row.seconds:7.1f} s  {row.speedup:5.2f} ×  {row.cpu_seconds:7.1f} s of CPU"
        + (
            ""
            if row.path_seconds is None
            else f"  longest path {row.path_seconds:6.1f} s, {row.path_speedup:.2f} ×"
        )
        for row in report.rows
    ]
    head = f"{report.command}\n{report.cores} cores, load {report.load:.1f}, medians of {report.repeats}"
    return "\n".join([head, *lines]) + "\n"


def _row(name: str, workers: int, threads: int, times: Sequence[CommandTime]) -> WorkerRow:
    path = statistics.median(one.own_seconds + one.worker_seconds / workers for one in times)
    return WorkerRow(
        name=name,
        workers=workers,
        threads=threads,
        seconds=statistics.median(one.seconds for one in times),
        cpu_seconds=statistics.median(one.own_seconds + one.worker_seconds for one in times),
        path_seconds=path if threads == 1 else None,
    )


def _beside(row: WorkerRow, first: WorkerRow) -> WorkerRow:
    path = None
    if row.path_seconds is not None and first.path_seconds is not None:
        path = first.path_seconds / row.path_seconds
    return replace(row, speedup=first.seconds / row.seconds, path_speedup=path)
