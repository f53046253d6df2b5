"""The parts of a scene, and the scene without each of them: pictures of the kind a network was trained on."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from .render import Flags, Images, render, render_variants
from .scene import ELEMENT_NAMES, N_CELLS, Integers, Scenes

_CELLS_PER_SIDE = math.isqrt(N_CELLS)
PART_NAMES = (
    *ELEMENT_NAMES,
    *(f"background_{row}_{column}" for row in range(_CELLS_PER_SIDE) for column in range(_CELLS_PER_SIDE)),
)


class Parts(NamedTuple):
    """The parts of a single scene whose absence can be seen.

    Attributes:
        indices: Indices into `PART_NAMES`, ascending, `(R,)`.
        regions: True where the picture changes without the part, `(R, 64, 64)` bool; none empty.
        images: The scene without each part, `(R, 64, 64, 3)` uint8.
    """

    indices: Integers
    regions: Flags
    images: Images


def visible_parts(scene: Scenes) -> Parts:
    """Return the parts of a single scene whose absence changes the picture, and where it does.

    A shadow belongs to the region of what casts it, and what shows through a part to both. Elements that are
    absent or hidden change nothing and are no parts.
    """
    present = [position for position, figure in enumerate(scene.figures) if figure.present[0]]
    indices = np.array([*present, *range(len(ELEMENT_NAMES), len(PART_NAMES))])
    images = render_without_each(scene, indices)
    regions = (images != render(scene)).any(axis=-1)
    seen = regions.any(axis=(1, 2))
    return Parts(indices[seen], regions[seen], images[seen])


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
