"""Which images form the grids of Rao et al.'s grid pointing game."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import torch
from torch import Tensor

from .compose import no_grid_error
from .rule import GridOrder, GridRule, Grids, n_cells, register_rule

MIN_PROBABILITY = 0.99

_OFFICIAL_SEED = 1
# The official code draws n² of all classes until every one of them has an image left, forever if need be. Once
# this many draws of a run were in vain, draws are made among the classes that are left: same distribution.
_MAX_VAIN_DRAWS = 20_000


def confident_for_all(
    probabilities: Tensor, correct: Tensor, *, min_probability: float = MIN_PROBABILITY
) -> Tensor:
    """Images that every model classifies correctly and confidently, `(N,)` bool.

    Args:
        probabilities: Each model's probability of each image's own class, `(M, N)`; the official code takes
            the softmax, for models trained with binary cross entropy it is the sigmoid.
        correct: Whether each model's largest logit is that of the image's class, `(M, N)` bool.
        min_probability: Smallest probability that is confident.
    """
    return (correct.bool() & (probabilities >= min_probability)).all(0)


def rao_grids(
    labels: Sequence[int],
    eligible: Tensor,
    *,
    n: int = 3,
    n_grids: int = 500,
    seed: int = _OFFICIAL_SEED,
    repeat_corners: bool = False,
) -> list[tuple[int, ...]]:
    """Grids of random images from random classes; no image is used twice.

    Args:
        labels: Class index of every image, in dataset order.
        eligible: Images that may be used, `(N,)` bool, from `confident_for_all`.
        n: Cells per side.
        n_grids: Number of grids wanted.
        seed: Seed of a torch generator.
        repeat_corners: Whether the first and the last image of a grid show the same class, two different images
            of it; there are n² − 1 classes in a grid then. Meant for DiFull and DiPart.

    Returns:
        For each grid the dataset positions of its n² images, in the order of row-major placement. Fewer than
        `n_grids` where images are left in fewer classes than a grid has.

    Raises:
        IncompatibleError: If not a single grid can be filled.

    Source: Rao et al., Towards Better Understanding Attribution Methods (CVPR 2022),
        `generate_grid_dataset.py` of `sukrutrao/Attribution-Evaluation`. There, loading models and data has
        advanced the global generator by the time grids are drawn, so published grids are not these very ones.
    """
    generator = torch.Generator().manual_seed(seed)
    queues = _shuffled_queues(labels, eligible, generator)
    draw = _ClassDraw(queues, n * n, generator, repeat_corners)
    grids: list[tuple[int, ...]] = []
    while len(grids) < n_grids and draw.is_possible():
        grids.append(tuple(queues[place].pop() for place in draw()))
    if n_grids > 0 and not grids:
        raise no_grid_error(n, n_classes=draw.n_open(), needed=_all_but_one if repeat_corners else n_cells)
    return grids


def _shuffled_queues(labels: Sequence[int], eligible: Tensor, generator: torch.Generator) -> list[list[int]]:
    """Eligible images of each class of the dataset in random order; the next one is popped from the end."""
    queues: dict[int, list[int]] = {label: [] for label in sorted(set(labels))}
    for index in eligible.nonzero()[:, 0].tolist():
        queues[labels[index]].append(index)
    shuffled = []
    for queue in queues.values():
        permutation = torch.randperm(len(queue), generator=generator).tolist()
        shuffled.append([queue[place] for place in reversed(permutation)])
    return shuffled


class _ClassDraw:
    """Draws of classes that have images left for their cells of a grid.

    Attributes:
        n_classes: Different classes in a grid.
    """

    def __init__(
        self, queues: list[list[int]], n_cells: int, generator: torch.Generator, repeat_corners: bool
    ) -> None:
        self.n_classes = n_cells - 1 if repeat_corners else n_cells
        self._queues = queues
        self._repeat_corners = repeat_corners
        self._generator = generator
        self._n_vain = 0

    def n_open(self) -> int:
        return sum(bool(queue) for queue in self._queues)

    def is_possible(self) -> bool:
        fullest = max(map(len, self._queues), default=0)
        return self.n_open() >= self.n_classes and fullest >= 1 + self._repeat_corners

    def __call__(self) -> list[int]:
        while self._n_vain < _MAX_VAIN_DRAWS:
            drawn = self._draw(list(range(len(self._queues))))
            if self._has_images(drawn):
                return drawn
            self._n_vain += 1
        left = [place for place, queue in enumerate(self._queues) if queue]
        while not self._has_images(drawn := self._draw(left)):
            pass  # the corners' class had one image; possible draws exist, see `is_possible`
        return drawn

    def _has_images(self, drawn: list[int]) -> bool:
        return all(len(self._queues[place]) >= drawn.count(place) for place in drawn)

    def _draw(self, places: list[int]) -> list[int]:
        permutation = torch.randperm(len(places), generator=self._generator)[: self.n_classes]
        drawn = [places[position] for position in permutation.tolist()]
        return [*drawn, drawn[0]] if self._repeat_corners else drawn


def _all_but_one(n: int) -> int:
    """Two corners show one class."""
    return n * n - 1


def _of_all_models(order: GridOrder, *, repeat_corners: bool) -> Grids:
    # The rule shuffles all confident images of a class, so that every image has to be looked at.
    eligible = confident_for_all(*order.look())
    return rao_grids(order.labels, eligible, n=order.n, n_grids=order.n_grids, repeat_corners=repeat_corners)


register_rule(GridRule("rao2022", partial(_of_all_models, repeat_corners=False), True))
register_rule(
    GridRule("rao2022_repeat_corners", partial(_of_all_models, repeat_corners=True), True, n_classes=_all_but_one)
)
