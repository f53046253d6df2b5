"""Where elements of a scene can change a pixel, for the tests of rendering."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from bcos_eval.data.shapes.render import Flags, _painted
from bcos_eval.data.shapes.scene import SIDE, Scenes


@pytest.fixture(scope="session")
def supports() -> Callable[[Scenes], Flags]:
    """Where each element can change a pixel, its shadow included, `(B, E, 64, 64)` bool."""

    def of(scenes: Scenes) -> Flags:
        found = np.zeros((len(scenes.keys), len(scenes.figures), SIDE, SIDE), dtype=np.bool_)
        for position, figure in enumerate(scenes.figures):
            rows = np.flatnonzero(figure.present)
            paint = _painted(figure, scenes.light, rows)
            touched = (paint.cover > 0.0) | (paint.shade > 0.0)
            for i, row in enumerate(rows):
                found[row, position, paint.vertical[i], paint.horizontal[i]] = touched[i]
        return found

    return of
