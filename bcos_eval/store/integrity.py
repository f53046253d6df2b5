"""Whether a folder of results is what was written there, and whether all that was planned is there.

What a file says of itself is checked here, without a model. `sampled_units` draws units for those who have a model
to compute them again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from bcos_eval.errors import InputError

from .aggregates import load_aggregate
from .arrays import load_arrays
from .atomic_write import TEMPORARY_SUFFIX
from .examples import load_example_file
from .facts import ShardAddress, ShardFacts
from .manifest import MANIFEST_NAME, RECORDS_FOLDER, planned_units, read_runs
from .sealed import DamagedFileError, read_sealed_json, seal_state
from .shards import Store

Severity = Literal["wrong", "unknown"]


@dataclass(frozen=True, slots=True)
class Finding:
    """What is the matter with a file or a cell.

    Attributes:
        path: The file, or the folder of the cell.
        problem: What it is, as the rest of a sentence.
        severity: "wrong", or "unknown" for what cannot be checked.
    """

    path: Path
    problem: str
    severity: Severity = "wrong"

    @property
    def text(self) -> str:
        """The finding as a line."""
        return f"'{self.path}' {self.problem}"


@dataclass(frozen=True, slots=True)
class SampledUnit:
    """A stored unit, to be computed again.

    Attributes:
        facts: What its shard says of model, method, metric and stimuli; its key has all that can change the score.
        row: Its row, by column.
    """

    facts: ShardFacts
    row: Mapping[str, Any]


def file_findings(root: Path) -> Iterator[Finding]:
    """Yield the files under a folder of results that are not what was written, in the order of their paths."""
    for path in sorted(root.rglob("*")):
        check = _CHECKS.get((path.relative_to(root).parts[0], path.suffix))
        if path.name.endswith(TEMPORARY_SUFFIX) and path.name.startswith("."):
            yield Finding(path, "was left by a run that was interrupted; the next one removes it.", "unknown")
        elif check is not None:
            yield from _checked(root, path, check)
    store = Store(root)
    for address in store.addresses():
        shard = store.read(address)
        if shard is not None and shard.has_curves and not store.curves_path(address).exists():
            yield Finding(store.curves_path(address), "is missing; the same `bcos-eval run` computes it again.")


def completeness_findings(root: Path) -> Iterator[Finding]:
    """Yield the cells of which units are missing, and those of which nobody said how many there should be.

    Raises:
        InputError: If the manifest is not one of this version.
    """
    store = Store(root)
    for cell, n_planned in sorted(planned_units(root).items()):
        units = {
            unit
            for raw in store.raw_shards(cell)
            if (shard := store.parsed(raw)) is not None
            for unit in zip(shard.texts("stimulus"), shard.numbers("unit").tolist(), strict=True)
        }
        if len(units) < n_planned:
            problem = f"holds {len(units)} of {n_planned} units; the same `bcos-eval run` computes the others."
            yield Finding(root / "units" / cell, problem)
    asked = {cell for run in read_runs(root) for cell in run["cells"]}
    for cell in sorted(asked - planned_units(root).keys()):
        yield Finding(root / "units" / cell, "was run by a version that kept no plan.", "unknown")


def sampled_units(root: Path, n: int, seed: int = 0) -> list[SampledUnit]:
    """Return at most `n` different units of finished shards, drawn at random: shards first, one unit of each.

    The same folder and seed give the same units.
    """
    store, generator = Store(root), np.random.default_rng(seed)
    addresses = list(store.addresses())
    drawn: list[SampledUnit] = []
    for place in generator.permutation(len(addresses)):
        if len(drawn) == n:
            break
        shard = store.read(addresses[place])
        if shard is not None:
            row = int(generator.integers(shard.table.num_rows))
            drawn.append(SampledUnit(shard.facts, shard.table.slice(row, 1).to_pylist()[0]))
    return drawn


def _checked(root: Path, path: Path, check: Callable[[Path, Path], object]) -> Iterator[Finding]:
    try:
        check(root, path)
    except (DamagedFileError, InputError, OSError):
        yield Finding(path, "is damaged or not of this suite; delete it, and the same command makes it again.")
        return
    if seal_state(path.read_bytes()) == "absent":
        yield Finding(path, "carries no digest: an earlier version wrote it, and it can only be read.", "unknown")


def _check_units(root: Path, path: Path) -> None:
    if Store(root).read(ShardAddress(path.parent.name, path.stem)) is None:
        raise DamagedFileError("it is no shard")


def _check_curves(root: Path, path: Path) -> None:
    """Check curves as their scores say; by themselves where a run was interrupted between the two."""
    address, store = ShardAddress(path.parent.name, path.stem), Store(root)
    if store.read(address) is not None:
        store.curves([address])
    elif seal_state(path.read_bytes()) == "broken":
        raise DamagedFileError("its seal does not match")


def _check_json(_root: Path, path: Path) -> None:
    read_sealed_json(path, unsealed=True)


_CHECKS: Mapping[tuple[str, str], Callable[[Path, Path], object]] = {
    ("units", ".parquet"): _check_units,
    ("curves", ".parquet"): _check_curves,
    ("examples", ".npz"): lambda _, path: load_example_file(path),
    ("aggatt", ".npz"): lambda _, path: load_aggregate(path),
    ("pools", ".npz"): lambda _, path: load_arrays(path),
    ("cache", ".json"): _check_json,
    (RECORDS_FOLDER, ".json"): _check_json,
    (MANIFEST_NAME, ".json"): _check_json,
}
