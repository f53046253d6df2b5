"""`OUT/manifest.json`: what was asked, with which software, data and weights, on what machine, and how it went."""

from __future__ import annotations

import importlib.metadata
import json
import platform
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from bcos_eval.errors import InputError
from bcos_eval.version import __version__

from .atomic_write import atomic_path

MANIFEST_NAME = "manifest.json"
_VERSION = 1
_PACKAGES = ("torch", "torchvision", "captum", "numpy", "scipy", "scikit-image", "pandas", "pyarrow", "pillow")

Outcome = Literal["running", "finished", "interrupted", "failed"]


@dataclass(slots=True)
class RunRecord:
    """One entry of the manifest; it is written when the run starts and again when it ends.

    Attributes:
        asked: The request, as plain values.
        dataset: Name, digest and size of the data.
        weights: Identity of the weights, by model.
        cells: Cells the run is about, stored before or now.
        machine: What it ran on.
        notes: What was skipped or fell short, in words.
        n_skipped_images: Unreadable images.
    """

    asked: Mapping[str, Any]
    dataset: Mapping[str, Any]
    weights: Mapping[str, str]
    cells: Sequence[str]
    machine: Mapping[str, Any] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    n_skipped_images: int = 0
    started: str = field(default_factory=lambda: datetime.now(UTC).isoformat(timespec="microseconds"))
    clock: float = field(default_factory=time.perf_counter)

    def save(self, root: Path, outcome: Outcome) -> None:
        """Add the entry to the manifest, or bring it up to date."""
        others = [run for run in read_runs(root) if run["started"] != self.started]
        content = {"schema": _VERSION, "runs": [*others, self._as_json(outcome)]}
        with atomic_path(root / MANIFEST_NAME) as temporary:
            temporary.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")

    def _as_json(self, outcome: Outcome) -> dict[str, Any]:
        return {
            "started": self.started,
            "outcome": outcome,
            "duration_seconds": round(time.perf_counter() - self.clock, 3),
            "asked": dict(self.asked),
            "dataset": dict(self.dataset),
            "weights": dict(self.weights),
            "cells": list(self.cells),
            "notes": list(self.notes),
            "n_skipped_images": self.n_skipped_images,
            "versions": _versions(),
            "machine": dict(self.machine),
        }


def read_runs(root: Path) -> list[dict[str, Any]]:
    """Return the manifest's entries, oldest first; none without a manifest.

    Raises:
        InputError: If the file is there but is not a manifest of this schema.
    """
    path = root / MANIFEST_NAME
    if not path.is_file():
        return []
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        schema, runs = content["schema"], content["runs"]
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(
            f"'{path}' is not a manifest of bcos-eval; move it away or give another folder."
        ) from error
    if schema != _VERSION:
        raise InputError(f"'{path}' has schema {schema}, this version reads {_VERSION}; give another folder.")
    return list(runs)


def cell_recency(root: Path) -> dict[str, int]:
    """Return for each cell the position of the last run that asked for it."""
    return {cell: position for position, run in enumerate(read_runs(root)) for cell in run["cells"]}


def _versions() -> dict[str, str]:
    installed = {name: importlib.metadata.version(name) for name in _PACKAGES}
    return {"bcos-eval": __version__, "python": platform.python_version(), **installed}
