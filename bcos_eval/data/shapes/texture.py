"""Surface patterns of figures, and the value noise of backgrounds."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from .geometry import Plane
from .random import Stream


def _edge(distance: Plane) -> Plane:
    """Coverage of an anti-aliased edge, from a distance in pixels that is positive inside."""
    return np.clip(distance + 0.5, 0.0, 1.0)


def _stripes(u: Plane, period: Plane) -> Plane:
    phase = u / period
    distance = np.abs(phase - np.floor(phase) - 0.5) - 0.25
    return _edge(distance * period)


def _plain(u: Plane, v: Plane, period: Plane) -> Plane:
    return np.zeros_like(u)


def _striped(u: Plane, v: Plane, period: Plane) -> Plane:
    return _stripes(u, period)


def _checkered(u: Plane, v: Plane, period: Plane) -> Plane:
    first, second = _stripes(u, period * 1.5), _stripes(v, period * 1.5)
    return first + second - 2.0 * first * second


def _dotted(u: Plane, v: Plane, period: Plane) -> Plane:
    row = v / period
    floor = np.floor(row)
    column = u / period + 0.5 * floor
    x, y = column - np.floor(column) - 0.5, row - floor - 0.5
    return _edge((0.32 - np.sqrt(x * x + y * y)) * period)


@dataclass(frozen=True, slots=True)
class Texture:
    """A pattern of two colours.

    Attributes:
        name: Adjective of the class names.
        share: Share of the second colour in [0, 1] at local pixel coordinates `(u, v)`, given the period
            in pixels.
    """

    name: str
    share: Callable[[Plane, Plane, Plane], Plane]


TEXTURES = (
    Texture("plain", _plain),
    Texture("striped", _striped),
    Texture("checkered", _checkered),
    Texture("dotted", _dotted),
)
PLAIN = 0


def value_noise(stream: Stream, *, cells: int, side: int) -> Plane:
    """Return smooth noise in [0, 1), `(B, side, side)`.

    Random values on a lattice of `cells` x `cells` squares, shifted at random so that no lattice line is
    at the same place in all scenes, joined by a cubic step.
    """
    n = cells + 2
    lattice = stream.uniforms(n * n).astype(np.float32).reshape(-1, n, n)
    shift = stream.uniforms(2).astype(np.float32)
    ramp = (np.arange(side, dtype=np.float32) + np.float32(0.5)) * np.float32(cells / side)
    rows = _joined(lattice, ramp + shift[:, :1])
    return _joined(rows.transpose(0, 2, 1), ramp + shift[:, 1:]).transpose(0, 2, 1)


def _joined(lattice: Plane, position: Plane) -> Plane:
    """Interpolate `(B, n, m)` along its first lattice axis at positions `(B, side)`."""
    floor = np.floor(position)
    step = position - floor
    step = (step * step * (3.0 - 2.0 * step))[:, :, None]
    index = floor.astype(np.int64)[:, :, None]
    low = np.take_along_axis(lattice, index, axis=1)
    return low + step * (np.take_along_axis(lattice, index + 1, axis=1) - low)
