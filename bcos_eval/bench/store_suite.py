"""How long a large store takes: the first leaderboard, an unchanged one, and finding out that nothing is to do."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa

from bcos_eval.store.facts import MethodFacts, MetricFacts, ShardAddress, ShardFacts
from bcos_eval.store.shards import UNIT_SCHEMA, Store, StoredShard, shard_bytes

# Ten 3×3 grids.
UNITS_PER_SHARD = 90
_TARGETS = 9
_SHARDS_PER_CELL = 10
_METHODS_PER_METRIC = 40
_MEGABYTE = 2**20

# Each runs in a process of its own, whose time and memory are those of the command.
_TABLE = "from bcos_eval.reports.tables.stored import stored_leaderboard; stored_leaderboard([folder])"
_INDEX = (
    "from bcos_eval.store.shards import Store; store = Store(folder); addresses = list(store.addresses()); "
    "assert all(map(store.has, addresses)); assert not any('failed' in store.statuses(one) for one in addresses)"
)
# What a run does that finds everything done: its table is made from what it has looked at already.
_FINISHED = f"{_INDEX}; {_TABLE.replace('[folder]', '[store]')}"
_FIGURES = (
    "from bcos_eval.reports.figures.figures import draw; from bcos_eval.reports.results import Results; "
    "(folder / 'drawn').mkdir(); "
    "draw(Results.unchecked([folder]), [], folder / 'drawn', note=lambda _: None)"
)
_WORK = {
    "first leaderboard": _TABLE,
    "unchanged leaderboard": _TABLE,
    "nothing to do": _INDEX,
    "nothing to do, and the leaderboard": _FINISHED,
    "all figures": _FIGURES,
}
_PROGRAM = """
import json, resource, sys
from pathlib import Path
folder = Path(sys.argv[1])
{work}
usage = resource.getrusage(resource.RUSAGE_SELF)
# The peak that getrusage knows is the parent's until this process has outgrown it.
(peak,) = (line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM:"))
print(json.dumps([usage.ru_utime + usage.ru_stime, int(peak.split()[1]) / 1024]))
"""


@dataclass(frozen=True, slots=True)
class StoreRow:
    """What one piece of work takes.

    Attributes:
        work: What it is.
        cpu_seconds: Processor time, start of Python included.
        peak_megabytes: Largest resident memory.
    """

    work: str
    cpu_seconds: float
    peak_megabytes: float


@dataclass(frozen=True, slots=True)
class StoreReport:
    """Measurements of one store.

    Attributes:
        n_units: Number of scored units in it.
        n_shards: Number of files they lie in.
        megabytes: Their size.
        cores: Cores of the machine.
        rows: One row per piece of work, in the order done.
    """

    n_units: int
    n_shards: int
    megabytes: float
    cores: int
    rows: tuple[StoreRow, ...]

    def as_json(self) -> dict[str, object]:
        """Return the report as plain values."""
        return asdict(self)


def measure_store(n_units: int, folder: Path | None = None) -> StoreReport:
    """Make a store of about `n_units` invented scores and measure what reading it takes.

    Args:
        n_units: Number of units; whole cells of 900 are made.
        folder: Where the store is made, an empty folder; None for a temporary one.
    """
    with tempfile.TemporaryDirectory(prefix="bcos-eval-bench-") as scratch:
        root = Path(scratch) if folder is None else folder
        sizes = [_write(Store(root), shard) for shard in _invented_shards(n_units)]
        rows = tuple(_measured(work, program, root) for work, program in _WORK.items())
    return StoreReport(
        n_units=len(sizes) * UNITS_PER_SHARD,
        n_shards=len(sizes),
        megabytes=sum(sizes) / _MEGABYTE,
        cores=os.cpu_count() or 1,
        rows=rows,
    )


def store_text(report: StoreReport) -> str:
    """Return a report as lines of text."""
    size = f"{report.n_units:,} units in {report.n_shards:,} shards, {report.megabytes:.0f} MB"
    width = max(len(row.work) for row in report.rows)
    lines = [
        f"{row.work:{width}}  {row.cpu_seconds:7.2f} s of CPU  {row.peak_megabytes:6.0f} MB" for row in report.rows
    ]
    return "\n".join([f"{size}, {report.cores} cores", *lines]) + "\n"


def _measured(work: str, program: str, root: Path) -> StoreRow:
    command = [sys.executable, "-c", _PROGRAM.format(work=program), str(root)]
    shown = subprocess.run(command, capture_output=True, text=True, check=True)
    seconds, megabytes = json.loads(shown.stdout)
    return StoreRow(work, seconds, megabytes)


def _write(store: Store, shard: StoredShard) -> int:
    """Write a shard and return its size; nobody minds if a power cut loses it, so the disk is not waited for."""
    path, content = store.units_path(shard.facts.address), shard_bytes(shard)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return len(content)


def _invented_shards(n_units: int) -> Iterator[StoredShard]:
    generator = np.random.default_rng(0)
    n_cells = -(-n_units // (UNITS_PER_SHARD * _SHARDS_PER_CELL))
    for cell in range(n_cells):
        method = MethodFacts(f"method{cell % _METHODS_PER_METRIC}")
        metric = MetricFacts("grid_pg", f"preset{cell // _METHODS_PER_METRIC}", "higher", low=0.0, high=1.0)
        key = {"dataset": {"name": "bench"}, "model": {"name": "net", "weights": "0" * 16}, "seed": 0}
        folder = f"bench-net-{method.name}-{metric.name}-{metric.preset}"
        for number in range(_SHARDS_PER_CELL):
            first = number * UNITS_PER_SHARD // _TARGETS
            facts = ShardFacts(
                ShardAddress(folder, f"{number:016x}"),
                method,
                metric,
                first,
                first + UNITS_PER_SHARD // _TARGETS,
                key,
            )
            yield StoredShard(facts, _invented_table(facts, generator), (1 / _TARGETS,) * UNITS_PER_SHARD)


def _invented_table(facts: ShardFacts, generator: np.random.Generator) -> pa.Table:
    n = UNITS_PER_SHARD
    place = np.arange(n)
    texts = {
        "dataset": "bench",
        "model": "net",
        "weights": "0" * 16,
        "method": facts.method.label,
        "metric": facts.metric.name,
        "preset": facts.metric.preset_label,
        "status": "ok",
        "reason": None,
    }
    columns: dict[str, object] = {name: [text] * n for name, text in texts.items()}
    columns |= {
        "sample_id": [f"image_{number:08d}.png" for number in generator.integers(50_000, size=n)],
        "stimulus": [f"grid3x3/{number:06d}" for number in facts.first + place // _TARGETS],
        "target": generator.integers(1000, size=n),
        "unit": place % _TARGETS,
        "score": generator.random(n),
        "tied": [None] * n,
        "seconds": generator.random(n),
    }
    return pa.table({name: columns[name] for name in UNIT_SCHEMA.names}, schema=UNIT_SCHEMA)
