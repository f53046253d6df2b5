"""Aggregate attributions on disk: `OUT/aggatt/<cell>.npz`, one file per model, method and grid metric."""

from __future__ import annotations

import itertools
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bcos_eval.errors import InputError

from .arrays import load_arrays, save_arrays
from .facts import MethodFacts, method_from_json, method_of_old_label, method_to_json
from .sealed import DamagedFileError

# Fractions of the ranked grids at which bins begin and end: the extremes are of interest, hence the narrow ones.
BIN_EDGES = (0.0, 0.02, 0.05, 0.5, 0.95, 0.98, 1.0)

_VERSION = 2
# Files without seals, which know their method by its label. They are read and no longer written.
_UNSEALED_VERSION = 1
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
    method: MethodFacts
    metric: str
    kind: str
    n_asked: int
    counts: NDArray[np.int64]
    scores: NDArray[np.float64]
    means: NDArray[np.float32]
    examples: NDArray[np.float32]
    example_ids: NDArray[np.str_]
    region: NDArray[np.bool_]


def bin_names() -> tuple[str, ...]:
    """Return what bins are called, best first.

    Example:
        >>> bin_names()[:2]
        ('0–2 %', '2–5 %')
    """
    percents = [round(100 * edge) for edge in BIN_EDGES]
    return tuple(f"{first}–{stop} %" for first, stop in itertools.pairwise(percents))


def aggregate_path(root: Path, cell: str) -> Path:
    """Return where the aggregate of a cell lies, which is named by the folder of its scores."""
    return root / _FOLDER / f"{cell}.npz"


def save_aggregate(path: Path, aggregate: AggregateAttribution) -> None:
    """Write the file whole or not at all; an older one is replaced."""
    values = {**asdict(aggregate), "method": method_to_json(aggregate.method), "version": _VERSION}
    save_arrays(path, {key: np.asarray(value) for key, value in values.items()})


def load_aggregate(path: Path) -> AggregateAttribution:
    """Return what a file holds.

    Raises:
        InputError: If the file cannot be read, is damaged or was written by another version.
    """
    try:
        stored = load_arrays(path, unsealed_version=_UNSEALED_VERSION)
        # Names and numbers come back as arrays without axes.
        values: dict[str, Any] = {key: array if array.ndim else array.item() for key, array in stored.items()}
        values["method"] = _method(values.pop("version"), values["method"])
        return AggregateAttribution(**{field.name: values[field.name] for field in fields(AggregateAttribution)})
    except (DamagedFileError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise InputError(
            f"'{path}' is no file of aggregate attributions of this version; delete it and make it again with "
            "`bcos-eval aggatt`."
        ) from error


def load_aggregates(root: Path) -> list[AggregateAttribution]:
    """Return all aggregates of a folder of results, in the order of their paths.

    Raises:
        InputError: If a file is damaged; the message names it.
    """
    paths = sorted((root / _FOLDER).glob("*.npz"))
    return [load_aggregate(path) for path in paths if not path.name.startswith(".")]


def _method(version: int, stated: str) -> MethodFacts:
    if version == _VERSION:
        return method_from_json(stated)
    if version == _UNSEALED_VERSION:
        return method_of_old_label(stated)
    raise ValueError(f"version {version}")
