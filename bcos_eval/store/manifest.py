"""What was asked, with which software, data and weights, on what machine, and how it went.

Each run keeps its record in a file of its own, `OUT/records/<start>-<number>.json`, so that no command can lose
another's. `OUT/manifest.json` shows all records together and is made anew from them whenever one is written.
"""

from __future__ import annotations

import importlib.metadata
import platform
import re
import time
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from bcos_eval.errors import InputError
from bcos_eval.version import __version__

from .atomic_write import write_bytes
from .process import is_gone, this_process
from .sealed import DamagedFileError, read_sealed_json, sealed_json

MANIFEST_NAME = "manifest.json"
RECORDS_FOLDER = "records"
_VERSION = 1
_PACKAGES = ("torch", "torchvision", "captum", "numpy", "scipy", "scikit-image", "pandas", "pyarrow", "pillow")

Outcome = Literal["running", "finished", "interrupted", "failed"]
Entry = dict[str, Any]


@dataclass(slots=True)
class RunRecord:
    """One entry of the manifest; it is written when the run starts and again when it ends.

    Attributes:
        asked: The request, as plain values.
        dataset: Name, digest and size of the data.
        weights: Identity of the weights, by model.
        cells: Cells the run is about, stored before or now.
        planned: Number of units of each cell, when it is finished.
        machine: What it ran on.
        notes: What was skipped or fell short, in words.
        n_skipped_images: Unreadable images.
    """

    asked: Mapping[str, Any]
    dataset: Mapping[str, Any]
    weights: Mapping[str, str]
    cells: Sequence[str]
    planned: Mapping[str, int] = field(default_factory=dict)
    machine: Mapping[str, Any] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    n_skipped_images: int = 0
    started: str = field(default_factory=lambda: datetime.now(UTC).isoformat(timespec="microseconds"))
    clock: float = field(default_factory=time.perf_counter)
    number: str = field(default_factory=lambda: uuid.uuid4().hex[:8])
    process: str = field(default_factory=this_process)

    def save(self, root: Path, outcome: Outcome) -> None:
        """Add the entry to the manifest, or bring it up to date.

        Raises:
            InputError: If a file cannot be written, or the manifest there is not one of this version.
        """
        kept = {_record_path(root, entry) for entry in _records(root)[0]}
        for entry in _entries_of_manifest(root):
            if (path := _record_path(root, entry)) not in kept:
                write_bytes(path, sealed_json(entry))
        entry = self._as_json(outcome)
        write_bytes(_record_path(root, entry), sealed_json(entry))
        shown: list[Entry] = []
        # Whoever writes last has seen all records: those written meanwhile are found before the loop ends.
        while shown != (entries := read_runs(root)):
            write_bytes(root / MANIFEST_NAME, sealed_json({"schema": _VERSION, "runs": entries}))
            shown = entries

    def _as_json(self, outcome: Outcome) -> Entry:
        return {
            "started": self.started,
            "number": self.number,
            "process": self.process,
            "outcome": outcome,
            "duration_seconds": round(time.perf_counter() - self.clock, 3),
            "asked": dict(self.asked),
            "dataset": dict(self.dataset),
            "weights": dict(self.weights),
            "cells": list(self.cells),
            "planned": dict(self.planned),
            "notes": list(self.notes),
            "n_skipped_images": self.n_skipped_images,
            "versions": _versions(),
            "machine": dict(self.machine),
        }


def read_runs(root: Path) -> list[Entry]:
    """Return the manifest's entries, oldest first; none without a manifest.

    A damaged record is left out, see `damaged_records`. The manifest itself is read for entries without a record:
    those of earlier versions, and those whose record was damaged since.

    Raises:
        InputError: If the manifest is not one of this schema.
    """
    records = {_record_path(root, entry): entry for entry in _records(root)[0]}
    older = {_record_path(root, entry): entry for entry in _entries_of_manifest(root)}
    return sorted({**older, **records}.values(), key=lambda entry: (entry["started"], entry.get("number", "")))


def close_ended_records(root: Path) -> None:
    """Write "interrupted" into the records of runs that say they are running and whose process has ended."""
    for entry in _records(root)[0]:
        process = entry.get("process")
        if entry.get("outcome") == "running" and isinstance(process, str) and is_gone(process):
            write_bytes(_record_path(root, entry), sealed_json({**entry, "outcome": "interrupted"}))


def damaged_records(root: Path) -> list[Path]:
    """Return the files of records that cannot be read."""
    return _records(root)[1]


def cell_recency(root: Path) -> dict[str, int]:
    """Return for each cell the position of the last run that asked for it."""
    return {cell: position for position, run in enumerate(read_runs(root)) for cell in run["cells"]}


def planned_units(root: Path) -> dict[str, int]:
    """Return how many units each cell has when finished, where a run has said so: the largest number stated."""
    planned: dict[str, int] = {}
    for run in read_runs(root):
        for cell, n_units in run.get("planned", {}).items():
            planned[cell] = max(n_units, planned.get(cell, 0))
    return planned


def stopping_widths(root: Path) -> dict[str, float]:
    """Return the half-width at which a cell was to stop, for cells whose last run asked for one with `--until`."""
    widths: dict[str, float | None] = {}
    for run in read_runs(root):
        asked = run.get("asked")
        until = asked.get("until") if isinstance(asked, dict) else None
        widths.update(dict.fromkeys(run["cells"], until if isinstance(until, float) and until > 0 else None))
    return {cell: until for cell, until in widths.items() if until is not None}


def _records(root: Path) -> tuple[list[Entry], list[Path]]:
    """Return the records, and the files that are none."""
    entries, damaged = [], []
    for path in sorted((root / RECORDS_FOLDER).glob("[!.]*.json")):
        try:
            entries.append(_checked(read_sealed_json(path)))
        except DamagedFileError:
            damaged.append(path)
    return entries, damaged


def _entries_of_manifest(root: Path) -> list[Entry]:
    path = root / MANIFEST_NAME
    try:
        content = read_sealed_json(path, unsealed=True)
        schema, runs = content["schema"], content["runs"]
        entries = [_checked(run) for run in runs] if schema == _VERSION else []
    except FileNotFoundError:
        return []
    except (DamagedFileError, KeyError, TypeError) as error:
        if (root / RECORDS_FOLDER).is_dir():
            return []  # it is made anew from the records
        raise InputError(
            f"'{path}' is not a manifest of bcos-eval; move it away or give another folder."
        ) from error
    if schema != _VERSION:
        raise InputError(f"'{path}' has schema {schema}, this version reads {_VERSION}; give another folder.")
    return entries


def _checked(entry: Any) -> Entry:  # noqa: ANN401 - whatever a file holds
    """Return an entry whose parts that are read here have their types.

    Raises:
        DamagedFileError: If it is none.
    """
    if not isinstance(entry, dict):
        raise DamagedFileError("an entry is no object")
    cells, planned = entry.get("cells"), entry.get("planned", {})
    if not (
        isinstance(entry.get("started"), str)
        and isinstance(cells, list)
        and all(isinstance(cell, str) for cell in cells)
        and isinstance(planned, dict)
        and all(isinstance(n_units, int) for n_units in planned.values())
    ):
        raise DamagedFileError("an entry lacks its parts")
    return entry


def _record_path(root: Path, entry: Entry) -> Path:
    words = (entry["started"], str(entry.get("number", "")))
    return (
        root / RECORDS_FOLDER / ("-".join(re.sub(r"[^0-9A-Za-z]", "", word) for word in words if word) + ".json")
    )


def _versions() -> dict[str, str]:
    installed = {name: importlib.metadata.version(name) for name in _PACKAGES}
    return {"bcos-eval": __version__, "python": platform.python_version(), **installed}
