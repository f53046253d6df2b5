"""A few attributions kept as pictures, so that figures show what was scored and need no model.

`OUT/examples/<dataset>/<model>-<weights>/<stimulus kind>/<method>.npz` holds the first stimuli of a run. What a
file is about is said by the arrays in it; the path only keeps files apart.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bcos_eval.errors import InputError

from .arrays import load_arrays, save_arrays
from .facts import MethodFacts, method_from_json, method_of_old_label, method_to_json
from .sealed import DamagedFileError

# A figure shows a handful of rows; grids of large images would take tens of megabytes per method otherwise.
MAX_STIMULI = 4
MAX_TARGETS = 2
# Kind of the examples in which an image is explained for its two most likely classes, not for its label.
TWO_MOST_LIKELY = "two_most_likely"
# Kinds of the examples that show what a hidden unit responds to begin so; the unit follows.
UNIT_KIND = "unit "

_VERSION = 2
# Files without seals, which know their method by its label. They are read and no longer written.
_UNSEALED_VERSION = 1
_FOLDER = "examples"
_IDENTITY_KEYS = ("dataset", "model", "weights", "kind")
_UNSAFE_IN_PATH = re.compile(r"[^A-Za-z0-9._+=,()-]")
_N_DIGEST = 8
# Examples come with the shard of the first stimuli, which a run does not compute twice.
_REMEDY = "delete it to draw without it, or make it again by `bcos-eval run` with another --out"


@dataclass(frozen=True, slots=True)
class ExampleIdentity:
    """Which attributions a file holds.

    Attributes:
        dataset: Dataset the stimuli are made of.
        model: Model name.
        weights: Identity of its weights.
        kind: Kind of stimulus: `single`, or size and rule of a grid, `grid3x3-bcos_v2`.
        method: Explainer with its parameters.
    """

    dataset: str
    model: str
    weights: str
    kind: str
    method: MethodFacts


def shows_stimuli(identity: ExampleIdentity) -> bool:
    """Return whether examples are the stimuli of a run, explained for the classes they were scored for."""
    return identity.kind != TWO_MOST_LIKELY and not identity.kind.startswith(UNIT_KIND)


@dataclass(frozen=True, slots=True)
class Examples:
    """Example attributions of one method, N stimuli with K targets each.

    Attributes:
        identity: Where they come from.
        stimulus_ids: Ids of the stimuli, length N.
        images: Pixels `(N, H, W, 3)`, uint8, RGB.
        targets: Explained classes `(N, K)`, int64.
        class_names: Their names `(N, K)`.
        regions: True where the target's evidence is, `(N, K, H, W)` bool; all False where unknown.
        maps: Signed attributions `(N, K, H, W)`; stored ones are float32, accurate to about 0.05 % of each map's
            largest entry.
        rgba: Colour explanations `(N, K, H, W, 4)`, uint8, not premultiplied; None for methods without colour.
    """

    identity: ExampleIdentity
    stimulus_ids: tuple[str, ...]
    images: NDArray[np.uint8]
    targets: NDArray[np.int64]
    class_names: tuple[tuple[str, ...], ...]
    regions: NDArray[np.bool_]
    maps: NDArray[np.floating[Any]]
    rgba: NDArray[np.uint8] | None = None


def examples_path(root: Path, identity: ExampleIdentity) -> Path:
    """Return where the examples of a method lie; names that differ give paths that differ."""
    network = _path_part(f"{identity.model}-{identity.weights}")
    folder = root / _FOLDER / _path_part(identity.dataset) / network / _path_part(identity.kind)
    return folder / f"{_path_part(identity.method.label)}.npz"


def save_examples(root: Path, examples: Examples) -> Path:
    """Store examples, and return the file, which is written whole or not at all; an older one is replaced."""
    identity = examples.identity
    maps, scales = _to_half(examples.maps)
    arrays: dict[str, NDArray[Any]] = {
        **{key: np.array(getattr(identity, key)) for key in _IDENTITY_KEYS},
        "method": np.array(method_to_json(identity.method)),
        "version": np.array(_VERSION),
        "stimulus_ids": np.array(examples.stimulus_ids),
        "images": examples.images,
        "targets": examples.targets,
        "class_names": np.array(examples.class_names),
        "regions": examples.regions,
        "maps": maps,
        "scales": scales,
    }
    if examples.rgba is not None:
        arrays["rgba"] = examples.rgba
    path = examples_path(root, identity)
    save_arrays(path, arrays)
    return path


def load_examples(root: Path) -> tuple[Examples, ...]:
    """Return all examples of a run, in the order of their paths; none if none were stored.

    Raises:
        InputError: If a file is damaged; the message names it.
    """
    return tuple(
        load_example_file(path)
        for path in sorted((root / _FOLDER).glob("*/*/*/*.npz"))
        if not path.name.startswith(".")
    )


def load_example_file(path: Path) -> Examples:
    """Return the examples in one file.

    Raises:
        InputError: If the file cannot be read, is damaged or was written by another version.
    """
    try:
        arrays = load_arrays(path, unsealed_version=_UNSEALED_VERSION)
        version = int(arrays["version"])
        examples = _from_arrays(arrays, version) if version in (_VERSION, _UNSEALED_VERSION) else None
    except (DamagedFileError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise InputError(f"'{path}' is damaged or no file of examples; {_REMEDY}.") from error
    if examples is None:
        raise InputError(f"'{path}' has version {version}, this one reads {_VERSION}; {_REMEDY}.")
    return examples


def _to_half(maps: NDArray[np.floating[Any]]) -> tuple[NDArray[np.float16], NDArray[np.float64]]:
    """Halve the size: each map is divided by its largest entry, since half precision ends at 6e-8 and 65504."""
    maps = maps.astype(np.float64)
    sizes = np.where(np.isfinite(maps), np.abs(maps), 0).max(axis=(2, 3), keepdims=True)
    scales = np.where(sizes > 0, sizes, 1)
    return (maps / scales).astype(np.float16), scales


def _from_arrays(arrays: Mapping[str, NDArray[Any]], version: int) -> Examples:
    maps = (arrays["maps"].astype(np.float64) * arrays["scales"]).astype(np.float32)
    read_method = method_of_old_label if version == _UNSEALED_VERSION else method_from_json
    examples = Examples(
        identity=ExampleIdentity(
            **{key: str(arrays[key]) for key in _IDENTITY_KEYS}, method=read_method(str(arrays["method"]))
        ),
        stimulus_ids=tuple(str(text) for text in arrays["stimulus_ids"]),
        images=arrays["images"],
        targets=arrays["targets"],
        class_names=tuple(tuple(str(name) for name in row) for row in arrays["class_names"]),
        regions=arrays["regions"],
        maps=maps,
        rgba=arrays.get("rgba"),
    )
    _check_shapes(examples)
    return examples


def _check_shapes(examples: Examples) -> None:
    n, k, height, width = examples.maps.shape
    colours = () if examples.rgba is None else examples.rgba.shape
    fits = (
        len(examples.stimulus_ids) == n,
        all(len(names) == k for names in examples.class_names),
        examples.targets.shape == (n, k),
        examples.images.shape == (n, height, width, 3),
        examples.regions.shape == (n, k, height, width),
        colours in ((), (n, k, height, width, 4)),
    )
    if not all(fits):
        raise ValueError(f"arrays do not fit maps of shape {(n, k, height, width)}")


def _path_part(name: str) -> str:
    """A folder or file name; one that had to change gets a digest, so that it stays distinct."""
    safe = _UNSAFE_IN_PATH.sub("-", name)
    if safe == name and not name.startswith("."):
        return name
    digest = hashlib.sha256(name.encode()).hexdigest()[:_N_DIGEST]
    return f"{safe.lstrip('.')}-{digest}"
