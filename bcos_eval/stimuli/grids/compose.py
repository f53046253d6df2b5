"""Grids of images as stimuli: one target per cell, pointing at its own cell."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from bcos_eval.contract.stimulus import Stimulus
from bcos_eval.data.sample import Dataset, Sample
from bcos_eval.errors import IncompatibleError

Placement = Literal["row_major", "column_major"]

_AT_LEAST_HALF = 0.5
_SMALLEST_GRID = 2


def cell_position(index: int, n: int, placement: Placement) -> tuple[int, int]:
    """Row and column of the cell that the image at a position of the list goes to."""
    outer, inner = divmod(index, n)
    return (outer, inner) if placement == "row_major" else (inner, outer)


def cell_regions(n: int, height: int, width: int, *, placement: Placement) -> Tensor:
    """Regions of the cells of an n × n grid.

    Args:
        n: Cells per side.
        height: Height of one cell in pixels.
        width: Width of one cell in pixels.
        placement: Order in which images fill the cells.

    Returns:
        True inside the k-th image's cell, `(n², n · height, n · width)` bool.
    """
    regions = torch.zeros(n * n, n * height, n * width, dtype=torch.bool)
    for index in range(n * n):
        row, column = cell_position(index, n, placement)
        regions[index, row * height : (row + 1) * height, column * width : (column + 1) * width] = True
    return regions


def compose_grid(images: Sequence[Tensor], *, placement: Placement) -> Tensor:
    """One image `(C, n · H, n · W)` from n² images `(C, H, W)`.

    Raises:
        ValueError: If the number of images is not a square or their shapes differ.
    """
    n = _side(len(images))
    shapes = {tuple(image.shape) for image in images}
    if len(shapes) > 1:
        raise ValueError(f"the images of a grid have the shapes {sorted(shapes)}; all must have the same.")
    cells = torch.stack(list(images)).unflatten(0, (n, n))  # (outer, inner, C, H, W)
    rows_first = cells if placement == "row_major" else cells.transpose(0, 1)
    return rows_first.permute(2, 0, 3, 1, 4).flatten(3, 4).flatten(1, 2)


def grid_stimulus(stimulus_id: str, samples: Sequence[Sample], *, placement: Placement) -> Stimulus:
    """A grid of n² samples as a stimulus with K = n²; labels are targets, cells are regions.

    Raises:
        ValueError: If the number of samples is not a square or their images differ in shape.
    """
    image = compose_grid([sample.image for sample in samples], placement=placement)
    height, width = samples[0].image.shape[1:]
    return Stimulus(
        stimulus_id=stimulus_id,
        image=image,
        targets=torch.tensor([sample.label for sample in samples]),
        regions=cell_regions(_side(len(samples)), height, width, placement=placement),
        sample_ids=tuple(sample.sample_id for sample in samples),
    )


def grid_stimuli(
    dataset: Dataset,
    grids: Sequence[Sequence[int]],
    *,
    placement: Placement,
    first: int = 0,
    prepare: Callable[[Sample], Sample] | None = None,
) -> Iterator[Stimulus]:
    """Grids of positions in a dataset as stimuli, read one at a time.

    Args:
        dataset: Where the samples come from.
        grids: n² positions in dataset order per grid, from `bcos_grids` or `rao_grids`.
        placement: "column_major" for the B-cos presets, "row_major" for Rao et al.'s.
        first: Number of the first grid, where a shard starts later than 0.
        prepare: Changes every sample before it becomes a cell.

    Raises:
        UnreadableImageError: If an image cannot be read.
    """
    for number, indices in enumerate(grids, start=first):
        n = _side(len(indices))
        samples = [dataset[index] for index in indices]
        cells = samples if prepare is None else [prepare(sample) for sample in samples]
        yield grid_stimulus(f"grid{n}x{n}/{number:06d}", cells, placement=placement)


def corners_only(stimulus: Stimulus) -> Stimulus:
    """A row-major grid with the top left and the bottom right cell as its only targets, K = 2."""
    return replace(
        stimulus,
        targets=stimulus.targets[[0, -1]],
        regions=stimulus.regions[[0, -1]],
        sample_ids=(stimulus.sample_ids[0], stimulus.sample_ids[-1]),
    )


def no_grid_error(n: int, *, n_classes: int, needed: Callable[[int], int]) -> IncompatibleError:
    """The error for a pool of confident images that fills not a single n × n grid.

    Args:
        n: Cells per side.
        n_classes: Number of classes with such images.
        needed: Number of classes that grids of a size take.
    """
    smaller = _smaller(n, n_classes, needed, ", ")
    return IncompatibleError(
        f"no {n}×{n} grid can be filled: only {n_classes} classes have confidently and correctly classified "
        f"images, at least {needed(n)} are needed; use {smaller}more images or a better trained model."
    )


def few_classes_error(n: int, *, n_classes: int, needed: Callable[[int], int], data: str) -> IncompatibleError:
    """The error for a dataset whose classes fill no n × n grid, whatever a model says; arguments as above."""
    return IncompatibleError(
        f"no {n}×{n} grid can be filled: it takes images of {needed(n)} classes and dataset '{data}' has "
        f"{n_classes}; use {_smaller(n, n_classes, needed, ' or ')}another dataset."
    )


def _smaller(n: int, n_classes: int, needed: Callable[[int], int], then: str) -> str:
    """Advise the largest grid that so many classes fill, if there is one."""
    possible = [size for size in range(_SMALLEST_GRID, n) if needed(size) <= n_classes]
    return f"a smaller grid (--param METRIC.n={possible[-1]}){then}" if possible else ""


def rescaled(sample: Sample, side: int) -> Sample:
    """The sample with its image scaled to `side` × `side` (bilinear with antialiasing), same label.

    For grids that must have a network's native size. A region keeps the pixels that were inside by half.
    """
    return replace(
        sample,
        image=_resize(sample.image, side).clamp(0, 1),
        region=None if sample.region is None else _resize(sample.region[None].float(), side)[0] >= _AT_LEAST_HALF,
    )


def _resize(image: Tensor, side: int) -> Tensor:
    return F.interpolate(image[None], size=(side, side), mode="bilinear", antialias=True)[0]


def _side(n_cells: int) -> int:
    n = math.isqrt(n_cells)
    if n_cells == 0 or n * n != n_cells:
        raise ValueError(f"a grid of {n_cells} images is not square; give 4, 9, 16, … images.")
    return n
