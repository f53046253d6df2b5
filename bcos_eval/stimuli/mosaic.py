"""Mosaics of Focus: two images of a class and two of others, the class as the only target."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from bcos_eval.data.sample import Sample
from bcos_eval.errors import IncompatibleError
from bcos_eval.seeding import derived_generator

from .grids.compose import cell_regions, compose_grid
from .stimulus import Stimulus

CELLS_PER_SIDE = 2

_N_OF_TARGET = 2
_N_OF_OTHERS = 2


@dataclass(frozen=True, slots=True)
class Mosaic:
    """One mosaic to be composed.

    Attributes:
        target: The class that two images show.
        indices: Positions in the dataset of the four images, row by row.
    """

    target: int
    indices: tuple[int, ...]


def drawn_mosaics(labels: Sequence[int], *, n_mosaics: int, seed: int = 0) -> list[Mosaic]:
    """Mosaics with every class as the target in turn, images and their places at random.

    All images take part, whatever a model says of them, so that all models are shown the same mosaics. Each has
    its own generator: more mosaics begin with the same ones.

    Args:
        labels: Class index of every image, in dataset order.
        n_mosaics: Number of mosaics.
        seed: Seed of the run.

    Raises:
        IncompatibleError: If no class has two images, or there are not two of others.

    Source: Arias-Duart et al., Focus! (FUZZ-IEEE 2022), section III.
    """
    of_class: dict[int, list[int]] = {}
    for index, label in enumerate(labels):
        of_class.setdefault(label, []).append(index)
    targets = [label for label in sorted(of_class) if _fills_a_mosaic(len(of_class[label]), len(labels))]
    if not targets:
        raise IncompatibleError(
            f"no mosaic can be made of {len(labels)} images of {len(of_class)} classes; it takes two images of "
            "one class and two of others: use more images."
        )
    return [_drawn_mosaic(labels, of_class, targets[m % len(targets)], seed, m) for m in range(n_mosaics)]


def mosaic_stimulus(stimulus_id: str, mosaic: Mosaic, samples: Sequence[Sample]) -> Stimulus:
    """A mosaic as a stimulus with K = 1; the region is the two cells that show the target.

    Args:
        stimulus_id: Its id.
        mosaic: What it shows.
        samples: Its four images, row by row.

    Raises:
        ValueError: If their images differ in shape.
    """
    height, width = samples[0].image.shape[1:]
    shows_target = torch.tensor([sample.label == mosaic.target for sample in samples])
    cells = cell_regions(CELLS_PER_SIDE, height, width, placement="row_major")
    return Stimulus(
        stimulus_id=stimulus_id,
        image=compose_grid([sample.image for sample in samples], placement="row_major"),
        targets=torch.tensor([mosaic.target]),
        regions=cells[shows_target].any(0)[None],
        sample_ids=("+".join(sample.sample_id for sample in samples if sample.label == mosaic.target),),
    )


def _fills_a_mosaic(n_of_class: int, n_images: int) -> bool:
    return n_of_class >= _N_OF_TARGET and n_images - n_of_class >= _N_OF_OTHERS


def _drawn_mosaic(
    labels: Sequence[int], of_class: dict[int, list[int]], target: int, seed: int, number: int
) -> Mosaic:
    generator = derived_generator(seed, "mosaic", number)
    own = of_class[target]
    chosen = [own[place] for place in torch.randperm(len(own), generator=generator)[:_N_OF_TARGET].tolist()]
    while len(chosen) < _N_OF_TARGET + _N_OF_OTHERS:
        index = int(torch.randint(len(labels), (), generator=generator))
        if labels[index] != target and index not in chosen:
            chosen.append(index)
    places = torch.randperm(len(chosen), generator=generator).tolist()
    return Mosaic(target, tuple(chosen[place] for place in places))
