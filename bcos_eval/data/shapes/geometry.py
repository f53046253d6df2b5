"""Outlines as signed distances, and the poses that put them into an image."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from .random import Floats, Stream

# Float32 at run time; NumPy's stubs widen float32 with a Python float to float64, which does not happen.
Plane = npt.NDArray[np.floating[Any]]

# Literals instead of calls: sines and cosines differ in the last bit between C libraries.
_SIN_60 = 0.8660254037844386
_COS_36, _SIN_36 = 0.8090169943749475, 0.5877852522924731
_TAN_22_5 = 0.41421356237309503


def _hypot(x: Plane, y: Plane) -> Plane:
    return np.sqrt(x * x + y * y)


def _disc(x: Plane, y: Plane) -> Plane:
    return _hypot(x, y) - 1.0


def _square(x: Plane, y: Plane) -> Plane:
    return np.maximum(np.abs(x), np.abs(y)) - 1.0


def _triangle(x: Plane, y: Plane) -> Plane:
    return np.maximum(y, _SIN_60 * np.abs(x) - 0.5 * y) - 0.5


def _star(x: Plane, y: Plane) -> Plane:
    # The plane is folded twice onto one tenth of the star, where its edge is a straight line.
    x = np.abs(x)
    over = 2.0 * np.maximum(_COS_36 * x - _SIN_36 * y, 0.0)
    x, y = x - _COS_36 * over, y + _SIN_36 * over
    over = 2.0 * np.maximum(-_COS_36 * x - _SIN_36 * y, 0.0)
    x, y = np.abs(x + _COS_36 * over), y + _SIN_36 * over
    inner = 0.48
    edge_x, edge_y = inner * _SIN_36, inner * _COS_36 - 1.0
    length = math.sqrt(edge_x * edge_x + edge_y * edge_y)
    return ((y - 1.0) * edge_x - x * edge_y) * (1.0 / length)


def _ring(x: Plane, y: Plane) -> Plane:
    return np.abs(_hypot(x, y) - 0.72) - 0.28


def _cross(x: Plane, y: Plane) -> Plane:
    x, y = np.abs(x), np.abs(y)
    return np.maximum(np.minimum(x, y) - 0.36, np.maximum(x, y) - 1.0)


def _crescent(x: Plane, y: Plane) -> Plane:
    x = x - 0.377
    return np.maximum(_hypot(x, y) - 1.0, 0.82 - _hypot(x - 0.58, y))


def _heart(x: Plane, y: Plane) -> Plane:
    # A square on its corner with a half disc on each upper side.
    x, y = np.abs(x), 0.266 - y
    corner = np.abs(x + y) * 0.7071067811865476
    across = np.abs(x - y) * 0.7071067811865476
    square = np.maximum(corner, across) - 0.6
    lobe = _hypot(x - 0.4242640687119285, y - 0.4242640687119285) - 0.6
    return np.minimum(square, lobe)


def _bar(x: Plane, y: Plane) -> Plane:
    return np.maximum(np.abs(x) * 0.12, np.abs(y)) - 0.12


@dataclass(frozen=True, slots=True)
class Outline:
    """A closed curve.

    Attributes:
        name: Noun of the class names.
        distance: Approximate signed distance to the curve at points `(x, y)`, negative inside.
        area: Area that `distance` encloses; poses are scaled by it, so that size carries no label.
    """

    name: str
    distance: Callable[[Plane, Plane], Plane]
    area: float


OUTLINES = (
    Outline("disc", _disc, 3.14159),
    Outline("square", _square, 4.0),
    Outline("triangle", _triangle, 1.29904),
    Outline("star", _star, 1.41067),
    Outline("ring", _ring, 2.53338),
    Outline("cross", _cross, 2.3616),
    Outline("crescent", _crescent, 1.60585),
    Outline("heart", _heart, 2.57091),
    Outline("bar", _bar, 0.48),
)
BAR = len(OUTLINES) - 1


@dataclass(frozen=True, slots=True)
class Pose:
    """Where outlines lie: `local = inverse @ (pixel - centre)`, one per scene.

    Attributes:
        centre: Pixel coordinates (x, y), `(B, 2)`.
        inverse: Row-major 2x2 matrix, determinant 1, `(B, 4)`; local units are pixels.
        radius: Radius in pixels of the disc of the same area, `(B,)`.
    """

    centre: Floats
    inverse: Floats
    radius: Floats


def rotation(stream: Stream) -> tuple[Floats, Floats]:
    """Return cosine and sine of a random angle per scene, without trigonometry.

    The rational parametrisation of the circle on one eighth of it (where it is nearly uniform), moved to a
    random eighth by symmetry.
    """
    t = stream.uniform(0.0, _TAN_22_5)
    cosine = (1.0 - t * t) / (1.0 + t * t)
    sine = 2.0 * t / (1.0 + t * t)
    flips = stream.uniforms(3) < 0.5
    cosine, sine = np.where(flips[:, 0], cosine, sine), np.where(flips[:, 0], sine, cosine)
    return np.where(flips[:, 1], cosine, -cosine), np.where(flips[:, 2], sine, -sine)


def random_linear(stream: Stream, *, max_stretch: float, max_shear: float) -> Floats:
    """Return random matrices of determinant 1, `(B, 4)`: stretch and shear, then a rotation."""
    cosine, sine = rotation(stream)
    stretch = stream.uniform(1.0, max_stretch)
    stretch = np.where(stream.uniforms(1)[:, 0] < 0.5, stretch, 1.0 / stretch)
    shear = stream.uniform(-max_shear, max_shear)
    rows = (stretch * (cosine + shear * sine), stretch * (shear * cosine - sine), sine / stretch, cosine / stretch)
    return np.stack(rows, axis=1)
