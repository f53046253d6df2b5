"""What is in a scene: parameters of every element, drawn without regard to which are rendered."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from .geometry import BAR, OUTLINES, Pose, random_linear
from .random import Floats, Stream, UInt64s, scene_keys
from .texture import PLAIN, TEXTURES

SIDE = 64
GENERATOR_VERSION = 1  # to be raised with every change of a byte
NO_CUT = 9.0  # radii: beyond every outline

# (texture, outline): each outline has two textures and each texture four outlines, so that neither is enough.
_CLASS_PARTS = (
    ("striped", "disc"),
    ("dotted", "disc"),
    ("plain", "square"),
    ("checkered", "square"),
    ("striped", "triangle"),
    ("checkered", "triangle"),
    ("plain", "star"),
    ("dotted", "star"),
    ("plain", "ring"),
    ("striped", "ring"),
    ("checkered", "cross"),
    ("dotted", "cross"),
    ("plain", "crescent"),
    ("dotted", "crescent"),
    ("striped", "heart"),
    ("checkered", "heart"),
)
CLASS_NAMES = tuple(f"{texture} {outline}" for texture, outline in _CLASS_PARTS)
_TEXTURE_OF = np.array([[t.name for t in TEXTURES].index(texture) for texture, _ in _CLASS_PARTS])
_OUTLINE_OF = np.array([[o.name for o in OUTLINES].index(outline) for _, outline in _CLASS_PARTS])

N_PATCHES, N_STROKES, N_DISTRACTORS = 2, 5, 4
ELEMENT_NAMES = (
    *(f"patch_{i}" for i in range(N_PATCHES)),
    *(f"stroke_{i}" for i in range(N_STROKES)),
    *(f"distractor_{i}" for i in range(N_DISTRACTORS)),
    "object",
)
OBJECT = len(ELEMENT_NAMES) - 1
N_CELLS = 16  # square cells of the background, whose texture can be left out one by one

Integers = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Figure:
    """One element of every scene of a batch.

    Attributes:
        present: Whether the scene has it, `(B,)` bool.
        window: Side of the square of pixels that holds it, shadow included.
        outline: Index into `OUTLINES`, `(B,)`.
        texture: Index into `TEXTURES`, `(B,)`.
        pose: Place, size and linear map.
        pattern: Period in pixels, two phases, bend of the pattern, `(B, 4)`.
        colours: The two colours of the pattern in [0, 1], `(B, 2, 3)`.
        cut: Unit normal and offset in radii of the half-plane that is cut away, `(B, 3)`; `NO_CUT`
            cuts nothing as offset.
        opacity: `(B,)` in [0, 1].
        shadow: Darkness of the cast shadow, `(B,)` in [0, 1).
        relief: Strength of the shading, `(B,)`.
    """

    present: npt.NDArray[np.bool_]
    window: int
    outline: Integers
    texture: Integers
    pose: Pose
    pattern: Floats
    colours: Floats
    cut: Floats
    opacity: Floats
    shadow: Floats
    relief: Floats


@dataclass(frozen=True, slots=True)
class Scenes:
    """A batch of scenes.

    Attributes:
        keys: Random key of each scene, `(B,)`; backgrounds and sensor noise are drawn from it.
        labels: Class of the object, `(B,)`.
        light: Direction towards the light (x, y), of length 1, `(B, 2)`.
        figures: Elements from back to front, named by `ELEMENT_NAMES`.
    """

    keys: UInt64s
    labels: Integers
    light: Floats
    figures: tuple[Figure, ...]


def _family(split: str, seed: int) -> str:
    return f"bcos_eval/shapes/{GENERATOR_VERSION}/{split}/{seed}"


def scene_labels(indices: Integers, *, split: str, seed: int) -> Integers:
    """Return the class of each scene; every run of 16 scenes that starts at a multiple of 16 has all classes."""
    n = len(CLASS_NAMES)
    block_keys = scene_keys(f"{_family(split, seed)}/labels", indices // n)
    order = np.argsort(Stream(block_keys, 0).bits(n), axis=1, kind="stable")
    return np.take_along_axis(order, (indices % n)[:, None], axis=1)[:, 0]


def describe_scenes(indices: Integers, *, split: str, seed: int) -> Scenes:
    """Return the scenes at non-negative positions `(B,)`; each depends on its own index alone."""
    keys = scene_keys(_family(split, seed), indices)
    labels = scene_labels(indices, split=split, seed=seed)
    light = random_linear(Stream(keys, 1), max_stretch=1.0, max_shear=0.0)[:, :2]
    target = _object(Stream(keys, 2), labels)
    patches = [_patch(Stream(keys, 100 + i)) for i in range(N_PATCHES)]
    strokes = [_stroke(Stream(keys, 200 + i)) for i in range(N_STROKES)]
    distractors = [_distractor(Stream(keys, 300 + i), labels, target.pose) for i in range(N_DISTRACTORS)]
    return Scenes(keys, labels, light, (*patches, *strokes, *distractors, target))


def random_colours(stream: Stream, *, low: float, high: float, max_chroma: float, contrast: float) -> Floats:
    """Return pairs of colours `(B, 2, 3)` whose luminances differ by `contrast` to twice that.

    Luminances lie in [low, high], symmetric about its middle, so that both colours have the same mean.
    """
    step = stream.uniform(contrast, 2.0 * contrast)
    first = stream.uniform(low, high)
    up = first + step
    second = np.where(stream.uniforms(1)[:, 0] < 0.5, up, first - step)
    second = np.where(second > high + 0.1, first - step, np.where(second < low - 0.1, up, second))
    luminance = np.stack([first, second], axis=1)[:, :, None]
    hue_of_first = stream.uniform(0.0, 6.0)
    hue_of_second = hue_of_first + stream.uniform(-1.2, 1.2)
    hues = _hue(np.stack([hue_of_first, hue_of_second], axis=1))
    grey = 0.3 * hues[:, :, :1] + 0.6 * hues[:, :, 1:2] + 0.1 * hues[:, :, 2:]
    chroma = max_chroma * stream.uniforms(2)[:, :, None]
    return np.clip(luminance + chroma * (hues - grey), 0.0, 1.0)


def _hue(angle: Floats) -> Floats:
    """Return saturated colours `(B, n, 3)` from places on the colour circle of length 6."""
    place = angle - 6.0 * np.floor(angle / 6.0)
    red = np.abs(place - 3.0) - 1.0
    return np.clip(np.stack([red, 2.0 - np.abs(place - 2.0), 2.0 - np.abs(place - 4.0)], axis=-1), 0.0, 1.0)


def _pattern(stream: Stream, radius: Floats) -> Floats:
    period = stream.uniform(4.8, 6.0) + stream.uniforms(1)[:, 0] * np.maximum(radius - 10.0, 0.0) * 0.3
    bend = stream.uniform(-0.25, 0.25) / radius
    phases = stream.uniforms(2) * period[:, None]
    return np.stack([period, phases[:, 0], phases[:, 1], bend], axis=1)


def _object(stream: Stream, labels: Integers) -> Figure:
    n = len(labels)
    radius = stream.uniform(11.6, 23.6)  # areas of 10.3 to 42.7 %
    margin = np.minimum(radius * 1.2, 30.0)
    centre = margin[:, None] + stream.uniforms(2) * (SIDE - 2.0 * margin)[:, None]
    return Figure(
        present=np.ones(n, dtype=np.bool_),
        window=SIDE,
        outline=_OUTLINE_OF[labels],
        texture=_TEXTURE_OF[labels],
        pose=Pose(centre, random_linear(stream, max_stretch=1.2, max_shear=0.2), radius),
        pattern=_pattern(stream, radius),
        colours=random_colours(stream, low=0.25, high=0.8, max_chroma=0.75, contrast=0.16),
        cut=_no_cut(n),
        opacity=np.ones(n),
        shadow=stream.uniform(0.25, 0.6),
        relief=stream.uniform(0.1, 0.3),
    )


def _no_cut(n: int) -> Floats:
    return np.tile(np.array([1.0, 0.0, NO_CUT]), (n, 1))


def _distractor(stream: Stream, labels: Integers, target: Pose) -> Figure:
    """Return a fragment of another class, away from the object where there is room."""
    n = len(labels)
    other = (labels + 1 + stream.integers(len(CLASS_NAMES) - 1)) % len(CLASS_NAMES)
    radius = stream.uniform(6.5, 10.0)
    linear = random_linear(stream, max_stretch=1.2, max_shear=0.2)
    normal = random_linear(stream, max_stretch=1.0, max_shear=0.0)[:, :2]
    cut = np.concatenate([normal, stream.uniform(-0.35, 0.2)[:, None]], axis=1)
    return Figure(
        present=stream.uniforms(1)[:, 0] < 0.85,
        window=40,
        outline=_OUTLINE_OF[other],
        texture=_TEXTURE_OF[other],
        pose=Pose(_far_from(stream, target), linear, radius),
        pattern=_pattern(stream, radius),
        colours=random_colours(stream, low=0.25, high=0.8, max_chroma=0.75, contrast=0.16),
        cut=cut,
        opacity=np.ones(n),
        shadow=stream.uniform(0.25, 0.6),
        relief=stream.uniform(0.1, 0.3),
    )


def _far_from(stream: Stream, target: Pose) -> Floats:
    """Return the farthest from the target of three random places."""
    places = 4.0 + stream.uniforms(6).reshape(-1, 3, 2) * (SIDE - 8.0)
    offset = places - target.centre[:, None]
    farthest = np.argmax(offset[:, :, 0] * offset[:, :, 0] + offset[:, :, 1] * offset[:, :, 1], axis=1)
    return places[np.arange(len(places)), farthest]


def _patch(stream: Stream) -> Figure:
    """Return a large, faint piece of pattern."""
    figure = _scenery(stream, window=SIDE, low_radius=14.0, high_radius=24.0)
    n = len(figure.present)
    blob = np.array([0, 1, 2])[stream.integers(3)]
    texture = stream.integers(len(TEXTURES))
    return replace(
        figure,
        outline=blob,
        texture=texture,
        opacity=stream.uniform(0.25, 0.7),
        relief=np.zeros(n),
        present=stream.uniforms(1)[:, 0] < 0.8,
    )


def _stroke(stream: Stream) -> Figure:
    """Return a bar of one colour."""
    figure = _scenery(stream, window=40, low_radius=3.6, high_radius=5.6)
    return replace(figure, present=stream.uniforms(1)[:, 0] < 0.7, opacity=stream.uniform(0.5, 1.0))


def _scenery(stream: Stream, *, window: int, low_radius: float, high_radius: float) -> Figure:
    centre = stream.uniforms(2) * SIDE
    n = len(centre)
    radius = stream.uniform(low_radius, high_radius)
    return Figure(
        present=np.ones(n, dtype=np.bool_),
        window=window,
        outline=np.full(n, BAR),
        texture=np.full(n, PLAIN),
        pose=Pose(centre, random_linear(stream, max_stretch=1.2, max_shear=0.2), radius),
        pattern=_pattern(stream, radius),
        colours=random_colours(stream, low=0.2, high=0.8, max_chroma=0.5, contrast=0.1),
        cut=_no_cut(n),
        opacity=np.ones(n),
        shadow=np.zeros(n),
        relief=stream.uniform(0.0, 0.2),
    )
