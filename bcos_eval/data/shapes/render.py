"""Pixels from scenes: every figure painted back to front, in float32 operations that are exact everywhere."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from .geometry import OUTLINES, Plane
from .random import Floats, Stream
from .scene import (
    N_CELLS,
    NO_CUT,
    OBJECT,
    SIDE,
    Figure,
    Scenes,
    random_colours,
)
from .texture import PLAIN, TEXTURES, value_noise

Images = npt.NDArray[np.uint8]
Flags = npt.NDArray[np.bool_]

_SHADOW_OFFSET = 2.5  # pixels, away from the light
_SHADOW_BLUR = 4.0  # pixels
_RIM = 2.5  # pixels over which edges darken
_NOISE = 9.0  # 8-bit levels; triangular, so a standard deviation of 0.41 times that
_FADE = 4.0  # pixels over which a plain cell passes into its neighbours


@dataclass(frozen=True, slots=True)
class _Paint:
    """A figure in its window: B slices each way, shadow and coverage `(B, S, S)`, colours `(B, 3, S, S)`."""

    horizontal: list[slice]
    vertical: list[slice]
    shade: Plane
    cover: Plane
    colours: Plane


def render(scenes: Scenes, leave_out: Flags | None = None) -> Images:
    """Return the images `(B, 64, 64, 3)` uint8.

    Args:
        scenes: What to render.
        leave_out: True for the elements that are absent, `(B, E)` in the order of `ELEMENT_NAMES`. Pixels
            outside the support of an absent element are byte-identical to those of the full scene.

    Raises:
        ValueError: If `leave_out` has another shape.
    """
    expected = (len(scenes.keys), len(scenes.figures))
    if leave_out is not None and leave_out.shape != expected:
        raise ValueError(f"leave_out has shape {leave_out.shape}; it must be {expected}, scenes and elements.")
    canvas = _background(scenes)
    for position, figure in enumerate(scenes.figures):
        shown = figure.present if leave_out is None else figure.present & ~leave_out[:, position]
        _paint(canvas, scenes, figure, shown)
    return _developed(canvas, scenes)


def render_variants(scene: Scenes, leave_out: Flags, plain_cells: Flags) -> Images:
    """Return one scene with different parts left out, `(R, 64, 64, 3)` uint8; what they share is computed once.

    Args:
        scene: A single scene.
        leave_out: True for the elements that are absent, `(R, E)` as for `render`, with the same bytes.
        plain_cells: True for the cells whose background has lost its texture, `(R, N_CELLS)`, row-major: what
            is left is the change of colour across the whole image. Pixels outside a cell are byte-identical.

    Raises:
        ValueError: If there are several scenes, or `leave_out` or `plain_cells` has another shape.
    """
    n, n_elements = len(leave_out), len(scene.figures)
    shapes = (len(scene.keys), leave_out.shape, plain_cells.shape)
    if shapes != (1, (n, n_elements), (n, N_CELLS)):
        raise ValueError(
            f"{shapes[0]} scenes, leave_out {shapes[1]} and plain_cells {shapes[2]}; "
            f"give 1 scene, {(n, n_elements)} and {(n, N_CELLS)}."
        )
    canvas = _background(scene, plain_cells)
    for position, figure in enumerate(scene.figures):
        if not figure.present[0]:
            continue
        paint = _painted(figure, scene.light, np.zeros(1, dtype=np.int64))
        under = canvas[:, :, paint.vertical[0], paint.horizontal[0]]
        painted = under * (1.0 - paint.shade)
        painted += paint.cover * (paint.colours - painted)
        under[:] = np.where(leave_out[:, position, None, None, None], under, painted)
    return _developed(canvas, scene)


def render_with_and_without_object(scenes: Scenes) -> tuple[Images, Images, Flags]:
    """Return the images, the same scenes without the object, and the object masks `(B, 64, 64)` bool.

    The object is the last element, so that both images cost little more than one.
    """
    canvas = _background(scenes)
    for figure in scenes.figures[:OBJECT]:
        _paint(canvas, scenes, figure, figure.present)
    without = _developed(canvas, scenes)
    cover = _paint(canvas, scenes, scenes.figures[OBJECT], scenes.figures[OBJECT].present)
    return _developed(canvas, scenes), without, cover >= 0.5


def _paint(canvas: Plane, scenes: Scenes, figure: Figure, shown: Flags) -> Plane:
    """Paint a figure over the canvas `(B, 3, 64, 64)` in place; return its coverage `(n_shown, S, S)`."""
    rows = np.flatnonzero(shown)
    paint = _painted(figure, scenes.light, rows)
    keep = 1.0 - paint.shade
    # Slices scene by scene: windows lie at different places, and gathering by index arrays is slower.
    for i, row in enumerate(rows):
        under = canvas[row, :, paint.vertical[i], paint.horizontal[i]]
        under *= keep[i]
        under += paint.cover[i] * (paint.colours[i] - under)
    return paint.cover


def _painted(figure: Figure, light: Floats, rows: npt.NDArray[np.int64]) -> _Paint:
    side = figure.window
    centre = figure.pose.centre[rows]
    corner = np.clip(np.floor(centre) - side // 2, 0, SIDE - side)
    offset = (corner + 0.5 - centre).astype(np.float32)
    x = offset[:, 0, None, None] + np.arange(side, dtype=np.float32)[None, None, :]
    y = offset[:, 1, None, None] + np.arange(side, dtype=np.float32)[None, :, None]
    distance, u, v = _distance(figure, rows, x, y)
    sun = _column(light[rows])
    shade = np.zeros_like(distance)
    if figure.shadow.any():
        away, _, _ = _distance(figure, rows, x + sun[0] * _SHADOW_OFFSET, y + sun[1] * _SHADOW_OFFSET)
        soft = np.clip(0.5 - away * np.float32(1.0 / _SHADOW_BLUR), 0.0, 1.0)
        shade = soft * soft * (3.0 - 2.0 * soft) * _column(figure.shadow[rows])
    cover = np.clip(0.5 - distance, 0.0, 1.0) * _column(figure.opacity[rows])
    colours = _surface(figure, rows, u, v) * _relief(figure, rows, x * sun[0] + y * sun[1], distance)[:, None]
    horizontal, vertical = (
        [slice(at, at + side) for at in starts] for starts in corner.T.astype(np.int64).tolist()
    )
    return _Paint(horizontal, vertical, shade, cover, colours)


def _column(values: Floats) -> Plane:
    """Return parameters `(B,)` or `(B, n)` as float32 `(B, 1, 1)` or `(n, B, 1, 1)`."""
    return values.T.astype(np.float32)[..., None, None]


def _distance(figure: Figure, rows: npt.NDArray[np.int64], x: Plane, y: Plane) -> tuple[Plane, Plane, Plane]:
    """Return signed distances in pixels, negative inside, and the local pixel coordinates."""
    a, b, c, d = _column(figure.pose.inverse[rows])
    u, v = a * x + b * y, c * x + d * y
    distance = np.empty_like(u)
    for outline in np.unique(figure.outline[rows]):
        chosen = np.flatnonzero(figure.outline[rows] == outline)
        # Outlines are stored at any size; scaled here to the area of a disc of the wanted radius.
        scale = figure.pose.radius[rows[chosen]] * math.sqrt(math.pi / OUTLINES[outline].area)
        length = _column(scale)
        per_pixel = _column(1.0 / scale)
        distance[chosen] = OUTLINES[outline].distance(u[chosen] * per_pixel, v[chosen] * per_pixel) * length
    if (figure.cut[rows, 2] < NO_CUT).any():
        normal_x, normal_y, at = _column(figure.cut[rows])
        distance = np.maximum(distance, normal_x * u + normal_y * v - at * _column(figure.pose.radius[rows]))
    return distance, u, v


def _surface(figure: Figure, rows: npt.NDArray[np.int64], u: Plane, v: Plane) -> Plane:
    """Return the unshaded colours `(B, 3, S, S)`."""
    period, phase_u, phase_v, bend = _column(figure.pattern[rows])
    first, second = figure.colours[rows].astype(np.float32).transpose(1, 0, 2)[..., None, None]
    share = np.zeros_like(u)
    for texture in np.unique(figure.texture[rows]):
        if texture != PLAIN:
            at = np.flatnonzero(figure.texture[rows] == texture)
            bent = u[at] + phase_u[at] + bend[at] * v[at] * v[at]
            share[at] = TEXTURES[texture].share(bent, v[at] + phase_v[at], period[at])
    return first + share[:, None] * (second - first)


def _relief(figure: Figure, rows: npt.NDArray[np.int64], towards_light: Plane, distance: Plane) -> Plane:
    """Return the brightness of the surface: lit from one side, darker at the rim."""
    strength = _column(figure.relief[rows])
    slope = towards_light * _column(1.0 / figure.pose.radius[rows])
    rim = np.clip(1.0 + distance * np.float32(1.0 / _RIM), 0.0, 1.0)
    return 1.0 + strength * (np.clip(slope, -1.5, 1.5) - rim)


def _background(scenes: Scenes, plain_cells: Flags | None = None) -> Plane:
    """Return the scenery behind all figures, `(B, 3, 64, 64)`."""
    stream = Stream(scenes.keys, 3)
    colours = [
        random_colours(stream, low=0.25, high=0.75, max_chroma=0.5, contrast=0.06).astype(np.float32)
        for _ in range(2)
    ]
    coarse = value_noise(stream, cells=2, side=SIDE)
    mixed = 0.55 * value_noise(stream, cells=4, side=SIDE) + 0.45 * value_noise(stream, cells=10, side=SIDE)
    fine = value_noise(stream, cells=24, side=SIDE) - 0.5
    grain = _column(stream.uniform(0.04, 0.22))
    if plain_cells is not None:
        # The means of both noises take their place.
        faded = _plainness(plain_cells)
        mixed = mixed + faded * (0.5 - mixed)
        fine = fine - faded * fine
    ends = [
        pair[:, 0, :, None, None] + mixed[:, None] * (pair[:, 1] - pair[:, 0])[..., None, None] for pair in colours
    ]
    return ends[0] + coarse[:, None] * (ends[1] - ends[0]) + (grain * fine)[:, None]


def _plainness(plain_cells: Flags) -> Plane:
    """Return how much of the texture is missing, `(B, 64, 64)` in [0, 1]: 0 at the border of a cell, 1 inside."""
    n = math.isqrt(N_CELLS)
    to_border = np.arange(SIDE, dtype=np.float32) % np.float32(SIDE / n) + np.float32(0.5)
    to_border = np.minimum(to_border, np.float32(SIDE / n) - to_border)
    step = np.clip(to_border / np.float32(_FADE), 0.0, 1.0)
    step = step * step * (np.float32(3.0) - np.float32(2.0) * step)
    chosen = plain_cells.reshape(-1, n, n).repeat(SIDE // n, axis=1).repeat(SIDE // n, axis=2)
    return step[:, None] * step[None, :] * chosen.astype(np.float32)


def _developed(canvas: Plane, scenes: Scenes) -> Images:
    """Return 8-bit images with the lighting of the whole scene and sensor noise."""
    ramp = (np.arange(SIDE, dtype=np.float32) - np.float32(31.5)) * np.float32(0.2 / 32)
    sun = _column(scenes.light)
    light = (1.0 + sun[0] * ramp[None, None, :] + sun[1] * ramp[None, :, None]) * 255.0
    levels = canvas * light[:, None] + (_sensor_noise(scenes) + 0.5)
    return np.clip(levels, 0.0, 255.0).astype(np.uint8).transpose(0, 2, 3, 1)


def _sensor_noise(scenes: Scenes) -> Plane:
    """Return triangular noise in levels, `(B, 3, 64, 64)`, from two bytes per value."""
    words = Stream(scenes.keys, 4).bits(3 * SIDE * SIDE // 4)
    parts = words.astype("<u8").view(np.uint8).reshape(len(words), 2, 3, SIDE, SIDE)
    total = parts[:, 0].astype(np.float32) + parts[:, 1]
    return total * np.float32(_NOISE / 255.0) - np.float32(_NOISE)
