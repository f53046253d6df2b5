"""Stored units computed again from the request that made them, and compared."""

from __future__ import annotations

import math
import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bcos_eval.contract.precision import reference_precision
from bcos_eval.errors import InputError
from bcos_eval.store.integrity import SampledUnit, sampled_units
from bcos_eval.store.manifest import read_runs
from bcos_eval.store.shards import Store
from bcos_eval.user_code.model import models_named

from .batch import BatchLimit
from .plan import Task, shards_of_model
from .progress import Progress
from .request import RunRequest, resolve
from .run_context import RunContext
from .task import compute

# Rounding of another number of threads or another processor, on scores in [0, 1]; relative for larger ones.
TOLERANCE = 1e-4


@dataclass(frozen=True, slots=True)
class Verdict:
    """What became of a stored unit that was computed again.

    Attributes:
        unit: The stored unit.
        problem: How it differs, as the rest of a sentence; empty where it does not.
    """

    unit: SampledUnit
    problem: str

    @property
    def text(self) -> str:
        """The verdict as a line."""
        row = self.unit.row
        name = f"{row['model']} × {row['method']} × {row['metric']}/{row['preset']}"
        return f"{name}, {row['stimulus']}, unit {row['unit']}: {self.problem or 'the same'}"


def computed_again(
    root: Path, n: int, *, seed: int = 0, device: str = "auto", progress: Progress | None = None
) -> Iterator[Verdict]:
    """Yield a verdict on each of `n` stored units, drawn at random.

    Attributions and scores are made anew with the whole shard of the unit; pools of confident images, which carry
    their own digest, are those stored.

    Raises:
        InputError: If the request that made a unit cannot be read or fulfilled here.
    """
    runs = read_runs(root)
    with tempfile.TemporaryDirectory(prefix="bcos-eval-verify-") as folder:
        scratch = Path(folder)
        if (root / "pools").is_dir():
            shutil.copytree(root / "pools", scratch / "pools")
        for sampled in sampled_units(root, n, seed):
            yield Verdict(sampled, _problem(sampled, runs, scratch, device, progress or Progress(quiet=True)))


def _problem(
    sampled: SampledUnit, runs: Sequence[Mapping[str, Any]], scratch: Path, device: str, progress: Progress
) -> str:
    address = sampled.facts.address
    asked = next((run["asked"] for run in reversed(runs) if address.cell in run["cells"]), None)
    if asked is None:
        return "no record says which run it belongs to."
    request = _request(asked, device)
    context = RunContext(request, scratch, progress)
    with reference_precision():
        shards = shards_of_model(context, resolve(request), str(sampled.row["model"]))
        if address not in shards:
            return "today's data, weights, code or version of the suite are others; it cannot be computed again."
        store = Store(scratch)
        compute(context, Task((shards[address],)), store, BatchLimit(None, context.device), lambda _n: None)
    again = store.read(address)
    rows = [] if again is None else again.table.to_pylist()
    key = ("stimulus", "unit", "target")
    (row,) = [one for one in rows if all(one[word] == sampled.row[word] for word in key)] or [None]
    return "it is not among the units computed again." if row is None else _difference(sampled.row, row)


def _difference(stored: Mapping[str, Any], again: Mapping[str, Any]) -> str:
    if stored["status"] != again["status"]:
        return f"status {stored['status']} stored, {again['status']} computed again."
    one, other = float(stored["score"]), float(again["score"])
    if math.isnan(one) and math.isnan(other):
        return ""
    if math.isclose(one, other, rel_tol=TOLERANCE, abs_tol=TOLERANCE):
        return ""
    return f"score {one:.6g} stored, {other:.6g} computed again."


def _request(asked: Mapping[str, Any], device: str) -> RunRequest:
    """Return the request that a record keeps.

    Raises:
        InputError: If it lacks its parts.
    """
    try:
        models, files = models_named(asked["models"])
        return RunRequest(
            models=models,
            model_files=files,
            metrics=tuple(asked["metrics"]),
            methods=tuple(asked["methods"]),
            dataset=asked["dataset"],
            data_dir=None if asked["data_dir"] is None else Path(asked["data_dir"]),
            n_samples=asked["samples"],
            seed=asked["seed"],
            device=device,
            config_settings=tuple(asked["params"]),
            weights=asked["weights"],
            pool=asked["pool"],
            target=asked.get("target"),
            until=asked.get("until"),
        )
    except (KeyError, TypeError) as error:
        raise InputError(f"the record of a run lacks {error}; it cannot be computed again.") from error
