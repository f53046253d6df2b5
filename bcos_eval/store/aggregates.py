"""Aggregate attributions on disk: `OUT/aggatt/<cell>.npz`, one file per model, method and grid metric."""

from __future__ import annotations

import zipfile
import zlib
from dataclasses import asdict, dataclass, fields
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bcos_eval.errors import InputError

from .atomic_write import atomic_path

_VERSION = 1
_FOLDER = "aggatt"


@dataclass(frozen=True, slots=True)
class AggregateAttribution:
    """What attributions for the top left cell look like where a method scores well, and where it does not.

    Bins of grids are ranked by score, best first; B of them. Maps are positive parts, as the explainer made them.

    Attributes:
        dataset: Dataset the grids are made of.
        model: Model name.
        weights: Identity of its weights.
        method: Explainer, with parameters that are not the default.
        metric: Metric with preset, and parameters that are not the default.
        kind: Kind of grid, `grid3x3-rao2022-difull`.
        n_asked: Number of grids that were explained; those without a score are in no bin.
        counts: Grids in each bin, `(B,)`.
        scores: Mean score in each bin, `(B,)`.
        means: Mean positive map of each bin, `(B, H, W)` float32.
        examples: Positive map of the grid in the middle of each bin, `(B, H, W)` float32.
        example_ids: Those grids' ids, `(B,)`.
        region: True in the cell, `(H, W)` bool.
    """

    dataset: str
    model: str
    weights: str
    method: str
    metric: str
    kind: str
    n_asked: int
    counts: NDArray[np.int64]
    scores: NDArray[np.float64]
    means: NDArray[np.float32]
    examples: NDArray[np.float32]
    example_ids: NDArray[np.str_]
    region: NDArray[np.bool_]


def aggregate_path(root: Path, cell: str) -> Path:
    """Return where the aggregate of a cell lies, which is named by the folder of its scores."""
    return root / _FOLDER / f"{cell}.npz"


def save_aggregate(path: Path, aggregate: AggregateAttribution) -> None:
    """Write the file whole or not at all; an older one is replaced."""
    arrays = {key: np.asarray(value) for key, value in asdict(aggregate).items()}
    with atomic_path(path) as temporary, temporary.open("wb") as stream:
        np.savez_compressed(stream, allow_pickle=False, version=np.array(_VERSION), **arrays)


def load_aggregate(path: Path) -> AggregateAttribution:
    """Return what a file holds.

    Raises:
        InputError: If the file cannot be read, is damaged or was written by another version.
    """
    try:
        # Without pickles a file from elsewhere cannot run code.
        with path.open("rb") as stream, np.load(stream, allow_pickle=False) as stored:
            if int(stored["version"]) != _VERSION:
                raise ValueError(f"version {stored['version']}")
            arrays = {field.name: stored[field.name] for field in fields(AggregateAttribution)}
    except (OSError, ValueError, KeyError, TypeError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        raise InputError(
            f"'{path}' is no file of aggregate attributions of this version; delete it and make it again with "
            "`bcos-eval aggatt`."
        ) from error
    # Names and numbers come back as arrays without axes.
    return AggregateAttribution(**{key: array if array.ndim else array.item() for key, array in arrays.items()})


def load_aggregates(root: Path) -> list[AggregateAttribution]:
    """Return all aggregates of a folder of results, in the order of their paths.

    Raises:
        InputError: If a file is damaged; the message names it.
    """
    paths = sorted((root / _FOLDER).glob("*.npz"))
    return [load_aggregate(path) for path in paths if not path.name.startswith(".")]
