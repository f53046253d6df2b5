"""Which images form the grids of How to Probe, and of ALOE: random ones, used again across grids."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor

from bcos_eval.data.sample import Sample
from bcos_eval.seeding import derived_generator

from .compose import no_grid_error
from .rao import confident_for_all
from .rule import GridOrder, GridRule, Grids, register_rule

# Smallest probability that all models give an image's class, and images of a class that are kept.
MIN_PROBABILITY = 0.95
MAX_PER_CLASS = 100
# ALOE: the explained model's probability lies above this.
ALOE_PROBABILITY = 0.95

_LARGEST_BYTE = 255


def drawn_grids(
    labels: Sequence[int],
    eligible: Tensor,
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
        eligible: Images that may be used, `(N,)` bool.
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
    of_class: dict[int, list[int]] = {}
    for index in eligible.nonzero()[:, 0].tolist():
        of_class.setdefault(labels[index], []).append(index)
    queues = [of_class[label][:max_per_class] for label in sorted(of_class)]
    if len(queues) < n * n:
        raise no_grid_error(n, n_classes=len(queues), n_needed=n * n)
    return [_drawn_grid(queues, n * n, derived_generator(seed, "grid", n, g)) for g in range(n_grids)]


def as_stored(sample: Sample) -> Sample:
    """The sample with its pixels rounded to 8 bits, since How to Probe keeps its cells as PNG files."""
    return replace(sample, image=(sample.image * _LARGEST_BYTE).round() / _LARGEST_BYTE)


def _drawn_grid(queues: Sequence[Sequence[int]], n_cells: int, generator: torch.Generator) -> tuple[int, ...]:
    classes = torch.randperm(len(queues), generator=generator)[:n_cells].tolist()
    drawn = [(queues[c], torch.randint(len(queues[c]), (), generator=generator)) for c in classes]
    return tuple(queue[int(place)] for queue, place in drawn)


def _of_all_models(order: GridOrder) -> Grids:
    eligible = confident_for_all(order.probabilities, order.correct, min_probability=MIN_PROBABILITY)
    return drawn_grids(
        order.labels, eligible, n=order.n, n_grids=order.n_grids, seed=order.seed, max_per_class=MAX_PER_CLASS
    )


def _of_one_model(order: GridOrder) -> Grids:
    (pool,) = order.pools
    eligible = pool.correct & (pool.label_probability > ALOE_PROBABILITY)
    return drawn_grids(order.labels, eligible, n=order.n, n_grids=order.n_grids, seed=order.seed)


register_rule(GridRule("how_to_probe", _of_all_models, True, prepare=as_stored))
register_rule(GridRule("aloe", _of_one_model, False))
