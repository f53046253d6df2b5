"""The attributions of a run, where they are kept: `OUT/maps/<dataset>/<model>-<weights>/<kind>/<method>/`.

A file holds the stimuli of one task, each with its maps `(K, H, W)` and targets `(K,)`, under its id. What a file
is about is said by its metadata; the path only keeps files apart.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bcos_eval.errors import InputError

from .atomic_write import write_bytes
from .examples import ExampleIdentity, examples_path
from .facts import method_from_json, method_to_json

_FOLDER = "maps"
_VERSION = "1"
_LABELS = ("dataset", "model", "weights", "kind")
_MAPS, _TARGETS = "maps ", "targets "


@dataclass(frozen=True, slots=True)
class StoredMaps:
    """The attributions of one stimulus by one method.

    Attributes:
        identity: Dataset, model with its weights, kind of stimulus, method.
        stimulus_id: Which stimulus.
        targets: Explained classes `(K,)`, int64.
        maps: Signed attributions `(K, H, W)`, float32.
    """

    identity: ExampleIdentity
    stimulus_id: str
    targets: NDArray[np.int64]
    maps: NDArray[np.float32]


def save_maps(root: Path, first: int, stop: int, stimuli: Iterable[StoredMaps]) -> Path | None:
    """Store the attributions of a task, whole or not at all; None if there are none.

    Args:
        root: Folder of results.
        first: Position of the task's first stimulus in the run's order.
        stop: One past the position of its last.
        stimuli: Attributions of one identity.
    """
    from safetensors.numpy import save

    kept = list(stimuli)
    if not kept:
        return None
    identity = kept[0].identity
    tensors: dict[str, NDArray[Any]] = {}
    for one in kept:
        tensors[f"{_MAPS}{one.stimulus_id}"] = np.ascontiguousarray(one.maps, dtype=np.float32)
        tensors[f"{_TARGETS}{one.stimulus_id}"] = np.ascontiguousarray(one.targets, dtype=np.int64)
    labels = {key: getattr(identity, key) for key in _LABELS}
    order = json.dumps([one.stimulus_id for one in kept])
    metadata = {**labels, "method": method_to_json(identity.method), "version": _VERSION, "order": order}
    folder = root / _FOLDER / examples_path(root, identity).with_suffix("").relative_to(root / "examples")
    path = folder / f"{first:06d}-{stop:06d}.safetensors"
    write_bytes(path, save(tensors, metadata))
    return path


def load_maps(root: Path) -> Iterator[StoredMaps]:
    """Yield all kept attributions of a folder of results, one stimulus at a time, in the order of their paths.

    Raises:
        InputError: If a file is damaged or of another version; the message names it.
    """
    for path in sorted((root / _FOLDER).rglob("*.safetensors")):
        if not path.name.startswith("."):
            yield from _of_file(path)


def _of_file(path: Path) -> Iterator[StoredMaps]:
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="numpy") as file:
            metadata = file.metadata()
            if metadata["version"] != _VERSION:
                raise ValueError(f"version {metadata['version']}")
            identity = ExampleIdentity(
                **{key: metadata[key] for key in _LABELS}, method=method_from_json(metadata["method"])
            )
            for stimulus in json.loads(metadata["order"]):
                yield StoredMaps(
                    identity,
                    stimulus,
                    file.get_tensor(f"{_TARGETS}{stimulus}"),
                    file.get_tensor(f"{_MAPS}{stimulus}"),
                )
    except (SafetensorError, OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(
            f"'{path}' is damaged or no file of maps of this version; delete it and run again with --keep-maps "
            "and another --out."
        ) from error
