"""What a rule is by which confident images are put together to grids, and all rules by name."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from bcos_eval.data.sample import Sample

from ..pool import GrowingPool, Pool
from .compose import Placement

Grids = list[tuple[int, ...]]


@dataclass(frozen=True, slots=True)
class GridOrder:
    """Grids that are wanted.

    Attributes:
        labels: Class index of every image, in dataset order.
        pools: What the model to explain says of the images it is asked about, or for rules of all models each.
        n: Cells per side.
        n_grids: Number of grids; fewer are made where the confident images do not suffice.
        seed: Seed of the run, for rules without a seed of their own.
    """

    labels: Sequence[int]
    pools: Sequence[Pool | GrowingPool]
    n: int
    n_grids: int
    seed: int

    def look(self, indices: Sequence[int] | None = None) -> tuple[Tensor, Tensor]:
        """Ask the models about some images at least, about all if none are named.

        Returns:
            Each model's probability of each image's own class, and whether its largest logit is that class's,
            `(M, N)` each; 0 and False for images that were not asked about.
        """
        said = [pool.look(indices) for pool in self.pools]
        return torch.stack([one.label_probability for one in said]), torch.stack([one.correct for one in said])


def n_cells(n: int) -> int:
    """Cells of an n × n grid, as many as most rules need classes."""
    return n * n


@dataclass(frozen=True, slots=True)
class GridRule:
    """How grids are made.

    Attributes:
        name: As `--param METRIC.rule=` takes it.
        make: Maps an order to the dataset positions of each grid's n² images.
        of_all_models: Whether images must suit every model of the run, and not only the one explained.
        placement: The order in which images fill the cells.
        prepare: Changes every image before it becomes a cell.
        looks_at_all: Whether it must know what models say of every image, since it ranks or shuffles them.
        n_classes: How many classes with images the grids of a size take.
    """

    name: str
    make: Callable[[GridOrder], Grids]
    of_all_models: bool
    placement: Placement = "row_major"
    prepare: Callable[[Sample], Sample] | None = None
    looks_at_all: bool = True
    n_classes: Callable[[int], int] = n_cells


GRID_RULES: dict[str, GridRule] = {}


def register_rule(rule: GridRule) -> GridRule:
    """Enter a rule under its name and return it.

    Raises:
        ValueError: If the name is taken.
    """
    if rule.name in GRID_RULES:
        raise ValueError(f"grid rule '{rule.name}' is registered twice; choose another name")
    GRID_RULES[rule.name] = rule
    return rule
