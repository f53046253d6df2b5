"""Where the stimuli of a run come from: single images in class-balanced order, or grids of confident images."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol

import torch

from bcos_eval.data import Dataset, Stimulus
from bcos_eval.data.grid import Placement, grid_stimuli
from bcos_eval.data.grid_bcos import OffsetRule, bcos_grids
from bcos_eval.data.grid_rao import confident_for_all, rao_grids
from bcos_eval.data.single import balanced_order, single_stimulus
from bcos_eval.errors import InputError, UnreadableImageError
from bcos_eval.plugins import MetricInfo, Param

from .pool import Pool

_FEWEST_CELLS_PER_SIDE = 2

# Rules that grids of one model's confident images follow, and the one for images that all models agree on.
_OFFSET_RULES: Mapping[str, OffsetRule] = {"bcos_v2": "official", "bcos_v2_blockwise": "blockwise"}
_RULE_OF_ALL_MODELS = "rao2022"
GRID_RULES = (*_OFFSET_RULES, _RULE_OF_ALL_MODELS)


@dataclass(frozen=True, slots=True)
class StimulusKind:
    """A kind of stimulus; metrics that ask for the same kind share attributions.

    Attributes:
        name: "single" or "grid".
        rule: How images are put together to grids; empty for single images.
        n: Cells per side; 1 for single images.
    """

    name: Literal["single", "grid"]
    rule: str = ""
    n: int = 1

    def as_json(self) -> dict[str, Any]:
        """Return the kind as plain values, for a shard's key."""
        return {"name": self.name, "rule": self.rule, "n": self.n}

    @property
    def label(self) -> str:
        """The kind in one word: `single`, or size and rule of a grid, `grid3x3-bcos_v2`."""
        return f"grid{self.n}x{self.n}-{self.rule}" if self.name == "grid" else self.name

    @property
    def pools_all_models(self) -> bool:
        """Whether the stimuli depend on every model of the run, and not only on the one explained."""
        return self.rule == _RULE_OF_ALL_MODELS


SINGLE = StimulusKind("single")


def stimulus_kind(info: MetricInfo, params: Mapping[str, Param]) -> StimulusKind:
    """Return what a metric is measured on.

    Raises:
        InputError: If it wants grids by a rule that does not exist, or of fewer than 2 × 2 cells.
    """
    if info.stimulus == "single":
        return SINGLE
    rule, n = str(params["pool"]), int(params["n"])
    if rule not in GRID_RULES:
        raise InputError(f"{info.name}.pool={rule} is not allowed; known: {', '.join(GRID_RULES)}.")
    if n < _FEWEST_CELLS_PER_SIDE:
        raise InputError(f"{info.name}.n={n} is not allowed; a grid has 2 or more cells per side.")
    return StimulusKind("grid", rule, n)


@dataclass(frozen=True, slots=True)
class Unreadable:
    """The place of a stimulus whose image cannot be read."""

    sample_id: str
    label: int
    reason: str


class StimulusSource(Protocol):
    """Stimuli by position; each is made when it is read."""

    def __len__(self) -> int:
        """Number of stimuli."""
        ...

    def read(self, first: int, stop: int) -> Iterator[Stimulus | Unreadable]:
        """Make the stimuli at positions `first` to `stop` (exclusive)."""
        ...


@dataclass(frozen=True, slots=True)
class SingleSource:
    """Single images, one class after the other in turn.

    Attributes:
        dataset: Where they come from.
        indices: Their positions in the dataset.
    """

    dataset: Dataset
    indices: Sequence[int]

    def __len__(self) -> int:
        """Number of images, unreadable ones included."""
        return len(self.indices)

    def read(self, first: int, stop: int) -> Iterator[Stimulus | Unreadable]:
        """Read images; an unreadable one keeps its place."""
        for index in self.indices[first:stop]:
            try:
                yield single_stimulus(self.dataset[index])
            except UnreadableImageError as error:
                yield Unreadable(self.dataset.sample_ids[index], self.dataset.labels[index], str(error))


@dataclass(frozen=True, slots=True)
class GridSource:
    """Grids of images.

    Attributes:
        dataset: Where the images come from.
        grids: Positions in the dataset, n² per grid.
        placement: The order in which images fill the cells.
    """

    dataset: Dataset
    grids: Sequence[Sequence[int]]
    placement: Placement

    def __len__(self) -> int:
        """Number of grids."""
        return len(self.grids)

    def read(self, first: int, stop: int) -> Iterator[Stimulus | Unreadable]:
        """Compose grids; their images were read before, when the pool was made."""
        yield from grid_stimuli(self.dataset, self.grids[first:stop], placement=self.placement, first=first)


def single_source(dataset: Dataset, n_samples: int) -> SingleSource:
    """Return at most `n_samples` single images, as balanced over classes as the data allow."""
    return SingleSource(dataset, balanced_order(dataset.labels)[:n_samples])


def grid_source(dataset: Dataset, kind: StimulusKind, pools: Sequence[Pool], n_samples: int) -> GridSource:
    """Return at most `n_samples` grids.

    Args:
        dataset: Where the images come from.
        kind: Rule and cells per side.
        pools: The pool of the model to explain, or those of all models of the run.
        n_samples: Number of grids wanted.

    Raises:
        IncompatibleError: If the confident images do not suffice for a single grid.
    """
    if kind.rule in _OFFSET_RULES:
        rule, pool = _OFFSET_RULES[kind.rule], pools[0]
        grids = bcos_grids(
            dataset.labels, pool.max_logits, pool.correct, n=kind.n, n_grids=n_samples, offset_rule=rule
        )
        return GridSource(dataset, grids, "column_major")
    eligible = confident_for_all(
        torch.stack([pool.label_probability for pool in pools]), torch.stack([pool.correct for pool in pools])
    )
    return GridSource(dataset, rao_grids(dataset.labels, eligible, n=kind.n, n_grids=n_samples), "row_major")
