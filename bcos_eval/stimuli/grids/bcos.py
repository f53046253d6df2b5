"""Which images form the grids of the B-cos papers' grid pointing game."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Literal, NamedTuple

import numpy as np
from torch import Tensor

from .compose import no_grid_error
from .rule import GridOrder, GridRule, Grids, register_rule

# Confidence above one half: sigmoid(logit) > 0.5. The papers use the sigmoid for softmax models as well.
MIN_LOGIT = 0.0

_OFFICIAL_SEED = 42
# Items dropped after each grid. The official code moves its offset one item too far (`make_multi_image` in
# B-cos-v2's interpretability/analyses/localisation.py returns `i + offset + 1`); its comment describes blocks.
_DROPPED_ITEMS = {"official": 1, "blockwise": 0}

OffsetRule = Literal["official", "blockwise"]


class GridPlan(NamedTuple):
    """Grids taken from an ordered list of images.

    Attributes:
        grids: Positions in dataset order, n² per grid, each of another class.
        offsets: Where in the list each grid starts, and after the last one where the next would.
    """

    grids: tuple[tuple[int, ...], ...]
    offsets: tuple[int, ...]


def bcos_grids(
    labels: Sequence[int],
    max_logits: Tensor,
    correct: Tensor,
    *,
    n: int = 3,
    n_grids: int = 500,
    min_logit: float = MIN_LOGIT,
    offset_rule: OffsetRule = "official",
) -> list[tuple[int, ...]]:
    """Grids of confidently and correctly classified images, after one model (algorithm G1).

    Args:
        labels: Class index of every image, in dataset order.
        max_logits: Largest logit of every image, `(N,)`.
        correct: Whether that logit belongs to the image's class, `(N,)` bool.
        n: Cells per side.
        n_grids: Number of grids wanted.
        min_logit: An image needs a larger logit than this.
        offset_rule: "official" drops one image between grids as the published code does, "blockwise" none.

    Returns:
        For each grid the dataset positions of its n² images, in the order of column-major placement. Fewer
        than `n_grids` where the confident images do not suffice.

    Raises:
        IncompatibleError: If they do not suffice for a single grid.

    Source: Böhle et al., B-cos v2 (TPAMI 2024), `localisation.py` of `B-cos/B-cos-v2`.
    """
    order = confident_order(labels, max_logits, correct, n_cells=n * n, min_logit=min_logit)
    grids = take_grids(order, labels, n_cells=n * n, n_grids=n_grids, n_dropped=_DROPPED_ITEMS[offset_rule]).grids
    if n_grids > 0 and not grids:
        n_classes = len({labels[index] for index in _eligible(max_logits, correct, min_logit)})
        raise no_grid_error(n, n_classes=n_classes, needed=_classes_needed)
    return list(grids)


def confident_order(
    labels: Sequence[int], max_logits: Tensor, correct: Tensor, *, n_cells: int, min_logit: float = MIN_LOGIT
) -> list[int]:
    """Dataset positions in blocks of `n_cells` images of different classes (steps 1 to 3 of G1).

    While *more* than `n_cells` classes have images left, that many of these classes are drawn without
    repetition and each gives its most confident unused image; equal logits keep dataset order.
    """
    queues: dict[int, list[int]] = {}
    for index in _eligible(max_logits, correct, min_logit):
        queues.setdefault(labels[index], []).append(index)
    for queue in queues.values():
        queue.sort(key=lambda index: -float(max_logits[index]))
        queue.reverse()  # the next image is popped from the end
    # The legacy generator is part of the protocol: same numbers as the official global `np.random.seed(42)`.
    random = np.random.RandomState(_OFFICIAL_SEED)
    order: list[int] = []
    while len(open_classes := sorted(label for label, queue in queues.items() if queue)) > n_cells:
        drawn = random.choice(np.array(open_classes), n_cells, replace=False)
        order += [queues[int(label)].pop() for label in drawn]
    return order


def take_grids(
    order: Sequence[int], labels: Sequence[int], *, n_cells: int, n_grids: int, n_dropped: int
) -> GridPlan:
    """Grids cut one after the other from a list of dataset positions (step 4 of G1).

    An image whose class is already in the grid is skipped. After a grid, `n_dropped` further items are passed
    over. Ends early when the list does.
    """
    grids: list[tuple[int, ...]] = []
    offsets = [0]
    while len(grids) < n_grids:
        grid, n_consumed = _next_grid(order[offsets[-1] :], labels, n_cells)
        if len(grid) < n_cells:
            break
        grids.append(grid)
        offsets.append(offsets[-1] + n_consumed + n_dropped)
    return GridPlan(tuple(grids), tuple(offsets))


def _next_grid(items: Sequence[int], labels: Sequence[int], n_cells: int) -> tuple[tuple[int, ...], int]:
    chosen: dict[int, int] = {}
    for n_consumed, index in enumerate(items, start=1):
        chosen.setdefault(labels[index], index)
        if len(chosen) == n_cells:
            return tuple(chosen.values()), n_consumed
    return tuple(chosen.values()), len(items)


def _eligible(max_logits: Tensor, correct: Tensor, min_logit: float) -> list[int]:
    confident: list[int] = (correct.bool() & (max_logits > min_logit)).nonzero()[:, 0].tolist()
    return confident


def _classes_needed(n: int) -> int:
    """More than a grid has: classes are drawn while that many are left over (step 3 of G1)."""
    return n * n + 1


def _of_one_model(order: GridOrder, offset_rule: OffsetRule) -> Grids:
    (pool,) = (pool.look() for pool in order.pools)  # the rule ranks all images
    return bcos_grids(
        order.labels, pool.max_logits, pool.correct, n=order.n, n_grids=order.n_grids, offset_rule=offset_rule
    )


register_rule(
    GridRule(
        "bcos_v2",
        partial(_of_one_model, offset_rule="official"),
        False,
        placement="column_major",
        n_classes=_classes_needed,
    )
)
register_rule(
    GridRule(
        "bcos_v2_blockwise",
        partial(_of_one_model, offset_rule="blockwise"),
        False,
        placement="column_major",
        n_classes=_classes_needed,
    )
)
