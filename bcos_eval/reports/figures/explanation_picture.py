"""The picture `bcos-eval explain` makes: a few images of the user's, explained."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from bcos_eval.errors import InputError
from bcos_eval.store.facts import MethodFacts

from .explanation_sheet import ExplanationRow, explanation_sheet
from .style import figure_style, save_figure

Floats = NDArray[np.float32]
PICTURE_SUFFIXES = (".png", ".pdf")


@dataclass(frozen=True, slots=True)
class ExplainedImage:
    """One image with the attributions of one target.

    Attributes:
        image: Pixels `(3, H, W)` in [0, 1].
        target_name: Name of the explained class.
        probability: The model's probability of it, in [0, 1].
        maps: Signed attributions `(H, W)` by method with its parameters.
        activation: Of a hidden unit, where that is explained and not a class; it has no probability.
        colour: Colour explanation `(4, H, W)` in [0, 1] of a B-cos model, from `colour_explanation`.
    """

    image: Floats
    target_name: str
    probability: float | None
    maps: Mapping[MethodFacts, Floats]
    colour: Floats | None = None
    activation: float | None = None


def explanation_picture(rows: Sequence[ExplainedImage]) -> Figure:
    """Return a figure with a row per image: input, colour explanation if any, then each method's map.

    The target's name and probability stand beside each row.

    Raises:
        ValueError: If there are no rows.
    """
    with figure_style():
        return explanation_sheet([_sheet_row(row) for row in rows])


def check_picture_path(path: Path) -> None:
    """Refuse a file that no picture can be written to; call it before computing.

    Raises:
        InputError: If the suffix says neither PNG nor PDF.
    """
    if path.suffix.lower() not in PICTURE_SUFFIXES:
        raise InputError(f"--out '{path}' must end in {' or '.join(PICTURE_SUFFIXES)}; rename it.")


def save_explanation_picture(rows: Sequence[ExplainedImage], path: Path) -> None:
    """Draw the picture and write it as PNG or PDF, by the suffix; the same rows give the same bytes.

    Raises:
        InputError: If the suffix is another.
    """
    check_picture_path(path)
    save_figure(explanation_picture(rows), path)


def _sheet_row(row: ExplainedImage) -> ExplanationRow:
    return ExplanationRow(
        label=row.target_name,
        note=f"p = {row.probability:.3f}" if row.activation is None else f"a = {row.activation:.3g}",
        image=_pixels(row.image),
        maps=row.maps,
        colour=None if row.colour is None else _pixels(row.colour),
    )


def _pixels(image: Floats) -> NDArray[np.uint8]:
    return np.rint(np.moveaxis(image.clip(0, 1), 0, -1) * 255).astype(np.uint8)
