"""Which images form the grids of How to Probe, and of ALOE: random ones, used again across grids."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import torch
from torch import Tensor

from bcos_eval.data.sample import Sample
from bcos_eval.seeding import derived_generator

from .compose import no_grid_error
from .rao import confident_for_all
from .rule import GridOrder, GridRule, Grids, n_cells, register_rule

# Smallest probability that all models give an image's class, and images of a class that are kept.
MIN_PROBABILITY = 0.95
MAX_PER_CLASS = 100
# ALOE: the explained model's probability lies above this.
ALOE_PROBABILITY = 0.95

_LARGEST_BYTE = 255
# Images of a class that are looked at in one go in search of a first eligible one.
_TURNS_AT_ONCE = 4

# Given positions in dataset order, tells which images may be used, `(N,)` bool, of these at least.
Eligible = Callable[[Sequence[int]], Tensor]


def drawn_grids(
    labels: Sequence[int],
    eligible: Tensor | Eligible,
    *,
    n: int = 3,
    n_grids: int = 500,
    seed: int = 0,
    max_per_class: int | None = None,
) -> list[tuple[int, ...]]:
    """Grids of random classes, a random image of each; images may come again in another grid.

    The published code draws without a seed. Here each grid has its own generator, so that more grids begin with
    the same ones.

    Args:
        labels: Class index of every image, in dataset order.
        eligible: Images that may be used, `(N,)` bool, or what tells of some: it is asked about images of every
            class until one is found, and about all (up to `max_per_class` eligible ones) of the classes drawn.
        n: Cells per side.
        n_grids: Number of grids.
        seed: Seed of the run.
        max_per_class: Only so many eligible images of a class are used, the first ones; None for all.

    Returns:
        For each grid the dataset positions of its n² images of different classes, in the order of row-major
        placement.

    Raises:
        IncompatibleError: If there are eligible images of fewer than n² classes.

    Source: Gairola et al., How to Probe (ICLR 2025), `evaluate_attributions/gridpg` of `sidgairo18/how-to-probe`.
    """
    told: Eligible = eligible if callable(eligible) else lambda _indices: eligible
    of_class: dict[int, list[int]] = {}
    for index, label in enumerate(labels):
        of_class.setdefault(label, []).append(index)
    classes = _classes_with_images(of_class, told)
    if len(classes) < n * n:
        raise no_grid_error(n, n_classes=len(classes), needed=n_cells)
    generators = [derived_generator(seed, "grid", n, g) for g in range(n_grids)]
    drawn = [[classes[c] for c in torch.randperm(len(classes), generator=one)[: n * n]] for one in generators]
    told(
        [
            index
            for label in {label for grid in drawn for label in grid}
            for index in of_class[label][:max_per_class]
        ]
    )
    queues = {label: _queue(of_class[label], told, max_per_class) for grid in drawn for label in grid}
    return [
        tuple(queues[label][int(torch.randint(len(queues[label]), (), generator=generator))] for label in grid)
        for grid, generator in zip(drawn, generators, strict=True)
    ]


def _classes_with_images(of_class: dict[int, list[int]], told: Eligible) -> list[int]:
    """Return the classes that have an eligible image, in class order."""
    found: set[int] = set()
    open_classes, turn = sorted(of_class), 0
    while open_classes:
        turns = {label: of_class[label][turn : turn + _TURNS_AT_ONCE] for label in open_classes}
        eligible = told([index for indices in turns.values() for index in indices])
        found |= {label for label, indices in turns.items() if eligible[indices].any()}
        turn += _TURNS_AT_ONCE
        open_classes = [label for label in open_classes if label not in found and turn < len(of_class[label])]
    return sorted(found)


def _queue(indices: Sequence[int], told: Eligible, most: int | None) -> list[int]:
    """Return the first eligible images of a class, at most so many."""
    step = len(indices) if most is None else most
    queue: list[int] = []
    for start in range(0, len(indices), step):
        chunk = indices[start : start + step]
        eligible = told(chunk)
        queue += [index for index in chunk if eligible[index]]
        if most is not None and len(queue) >= most:
            break
    return queue[:most]


def as_stored(sample: Sample) -> Sample:
    """The sample with its pixels rounded to 8 bits, since How to Probe keeps its cells as PNG files."""
    return replace(sample, image=(sample.image * _LARGEST_BYTE).round() / _LARGEST_BYTE)


def _of_all_models(order: GridOrder) -> Grids:
    def eligible(indices: Sequence[int]) -> Tensor:
        return confident_for_all(*order.look(indices), min_probability=MIN_PROBABILITY)

    return drawn_grids(
        order.labels, eligible, n=order.n, n_grids=order.n_grids, seed=order.seed, max_per_class=MAX_PER_CLASS
    )


def _of_one_model(order: GridOrder) -> Grids:
    def eligible(indices: Sequence[int]) -> Tensor:
        (probability,), (correct,) = order.look(indices)
        return correct & (probability > ALOE_PROBABILITY)

    return drawn_grids(order.labels, eligible, n=order.n, n_grids=order.n_grids, seed=order.seed)


register_rule(GridRule("how_to_probe", _of_all_models, True, prepare=as_stored, looks_at_all=False))
register_rule(GridRule("aloe", _of_one_model, False, looks_at_all=False))
