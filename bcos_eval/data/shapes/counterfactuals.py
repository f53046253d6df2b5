"""The parts of a scene, and the scene without each of them: pictures of the kind a network was trained on."""

from __future__ import annotations

import math

import numpy as np

from .render import Flags, Images, render_variants, visible_regions
from .scene import ELEMENT_NAMES, N_CELLS, SIDE, Integers, Scenes

_CELLS_PER_SIDE = math.isqrt(N_CELLS)
PART_NAMES = (
    *ELEMENT_NAMES,
    *(f"background_{row}_{column}" for row in range(_CELLS_PER_SIDE) for column in range(_CELLS_PER_SIDE)),
)


def visible_parts(scene: Scenes) -> tuple[Flags, Integers]:
    """Return the parts of a single scene that have a pixel of their own, and where they are.

    A pixel belongs to the foremost element that covers at least half of it, or else to its cell of the
    background.

    Returns:
        Regions `(R, 64, 64)` bool, disjoint, together the whole image; and indices into `PART_NAMES`, `(R,)`.
    """
    elements = visible_regions(scene)[0]
    cells = _cells() & ~elements.any(axis=0)
    regions = np.concatenate([elements, cells])
    parts = np.flatnonzero(regions.any(axis=(1, 2)))
    return regions[parts], parts


def render_without_each(scene: Scenes, parts: Integers) -> Images:
    """Return a single scene without each of some parts in turn, `(R, 64, 64, 3)` uint8.

    An element goes with its shadow and shows what it hid. A cell of the background loses its texture and keeps its
    colour, so that no edge appears.

    Args:
        scene: A single scene.
        parts: Indices into `PART_NAMES`, `(R,)`.
    """
    absent = parts[:, None] == np.arange(len(PART_NAMES))
    elements, cells = np.split(absent, [len(ELEMENT_NAMES)], axis=1)
    return render_variants(scene, elements, cells)


def _cells() -> Flags:
    """Return the square cells of the image, row-major, `(N_CELLS, 64, 64)` bool."""
    line = np.arange(SIDE) * _CELLS_PER_SIDE // SIDE
    return line[:, None] * _CELLS_PER_SIDE + line == np.arange(N_CELLS)[:, None, None]
