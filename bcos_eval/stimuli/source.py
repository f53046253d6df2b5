"""Where the stimuli of a run come from: single images, grids of confident images, or mosaics."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol

import torch

from bcos_eval.contract.plugins import MetricInfo, Param, View
from bcos_eval.data import Dataset, Sample
from bcos_eval.errors import InputError, UnreadableImageError

from .grids.bcos import OffsetRule, bcos_grids
from .grids.compose import Placement, corners_only, grid_stimuli, rescaled
from .grids.how_to_probe import ALOE_PROBABILITY, MAX_PER_CLASS, MIN_PROBABILITY, as_stored, drawn_grids
from .grids.rao import confident_for_all, rao_grids
from .mosaic import CELLS_PER_SIDE, Mosaic, drawn_mosaics, mosaic_stimulus
from .pool import Pool
from .shared_pool import shared_pool
from .single import balanced_order, stimulus_at
from .stimulus import Stimulus

PoolChoice = Literal["own", "shared"]

_FEWEST_CELLS_PER_SIDE = 2

# Rules that grids of one model's confident images follow, and those for images that all models agree on.
_OFFSET_RULES: Mapping[str, OffsetRule] = {"bcos_v2": "official", "bcos_v2_blockwise": "blockwise"}
_ALOE, _HOW_TO_PROBE, _RAO, _RAO_REPEATED = "aloe", "how_to_probe", "rao2022", "rao2022_repeat_corners"
_RULES_OF_ONE_MODEL = (*_OFFSET_RULES, _ALOE)
_RULES_OF_ALL_MODELS = (_RAO, _RAO_REPEATED, _HOW_TO_PROBE)
GRID_RULES = (*_RULES_OF_ONE_MODEL, *_RULES_OF_ALL_MODELS)

# Views in which only the first and the last cell have a network to explain.
_CORNER_VIEWS = ("difull", "dipart")


@dataclass(frozen=True, slots=True)
class StimulusKind:
    """A kind of stimulus; metrics that ask for the same kind share attributions.

    Attributes:
        name: "single", "grid" or "mosaic".
        rule: How images are put together to grids; empty for single images.
        n: Cells per side; 1 for single images.
        pool: Whose confident images grids are made of: the explained model's own, or those all models share.
        view: How the network is shown it, see `bcos_eval.metrics.MetricInfo`.
    """

    name: Literal["single", "grid", "mosaic"]
    rule: str = ""
    n: int = 1
    pool: PoolChoice = "own"
    view: View = "plain"

    def as_json(self) -> dict[str, Any]:
        """Return the kind as plain values, for a shard's key."""
        # Keys from before there was a choice stay what they were.
        pool = {} if self.pool == "own" else {"pool": self.pool}
        view = {} if self.view == "plain" else {"view": self.view}
        return {"name": self.name, "rule": self.rule, "n": self.n, **pool, **view}

    @property
    def label(self) -> str:
        """The kind in one word: `single`, `mosaic`, or size, rule and view of a grid, `grid3x3-bcos_v2`."""
        if self.name != "grid":
            return self.name
        view = "" if self.view == "plain" else f"-{self.view}"
        return f"grid{self.n}x{self.n}-{self.rule}{view}{self.pool_suffix}"

    @property
    def plural(self) -> str:
        """What several of the kind are called: images, 3×3 grids, mosaics."""
        return {"single": "images", "grid": f"{self.n}×{self.n} grids", "mosaic": "mosaics"}[self.name]

    @property
    def is_shown_whole(self) -> bool:
        """Whether the network is shown the image of a stimulus as it is."""
        return self.view in ("plain", "rescaled")

    @property
    def has_corner_targets(self) -> bool:
        """Whether a grid's first and last cell are its only targets."""
        return self.view in _CORNER_VIEWS

    @property
    def pool_suffix(self) -> str:
        """What labels add where the pool is not the rule's usual one."""
        return "" if self.pool == "own" else f"+{self.pool}"

    @property
    def pools_all_models(self) -> bool:
        """Whether the stimuli depend on every model of the run, and not only on the one explained."""
        return self.rule in _RULES_OF_ALL_MODELS or self.pool == "shared"


SINGLE = StimulusKind("single")
MOSAIC = StimulusKind("mosaic", n=CELLS_PER_SIDE)


def stimulus_kind(info: MetricInfo, params: Mapping[str, Param], pool: PoolChoice = "own") -> StimulusKind:
    """Return what a metric is measured on.

    The pool matters to rules that make grids of one model's images; the rule of all models shares them anyway.

    Raises:
        InputError: If it wants grids by a rule that does not exist, or of fewer than 2 × 2 cells.
    """
    if info.stimulus == "single":
        return SINGLE
    if info.stimulus == "mosaic":
        return MOSAIC
    rule, n = str(params["pool"]), int(params["n"])
    if rule not in GRID_RULES:
        raise InputError(f"{info.name}.pool={rule} is not allowed; known: {', '.join(GRID_RULES)}.")
    if n < _FEWEST_CELLS_PER_SIDE:
        raise InputError(f"{info.name}.n={n} is not allowed; a grid has 2 or more cells per side.")
    return StimulusKind("grid", rule, n, pool if rule in _RULES_OF_ONE_MODEL else "own", info.view)


@dataclass(frozen=True, slots=True)
class Unreadable:
    """The place of a stimulus whose image cannot be read; the id is empty for single images."""

    sample_id: str
    label: int
    reason: str
    stimulus_id: str = ""


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
                yield stimulus_at(self.dataset, index)
            except UnreadableImageError as error:
                yield Unreadable(self.dataset.sample_ids[index], self.dataset.labels[index], str(error))


@dataclass(frozen=True, slots=True)
class GridSource:
    """Grids of images.

    Attributes:
        dataset: Where the images come from.
        grids: Positions in the dataset, n² per grid.
        placement: The order in which images fill the cells.
        prepare: Changes every image before it becomes a cell.
        corners: Whether the first and the last cell are the only targets.
    """

    dataset: Dataset
    grids: Sequence[Sequence[int]]
    placement: Placement
    prepare: Callable[[Sample], Sample] | None = None
    corners: bool = False

    def __len__(self) -> int:
        """Number of grids."""
        return len(self.grids)

    def read(self, first: int, stop: int) -> Iterator[Stimulus | Unreadable]:
        """Compose grids; their images were read before, when the pool was made."""
        stimuli = grid_stimuli(
            self.dataset,
            self.grids[first:stop],
            placement=self.placement,
            first=first,
            prepare=self.prepare,
        )
        yield from map(corners_only, stimuli) if self.corners else stimuli


@dataclass(frozen=True, slots=True)
class MosaicSource:
    """Mosaics of two images of a class and two of others.

    Attributes:
        dataset: Where the images come from.
        mosaics: What each shows.
    """

    dataset: Dataset
    mosaics: Sequence[Mosaic]

    def __len__(self) -> int:
        """Number of mosaics, those with unreadable images included."""
        return len(self.mosaics)

    def read(self, first: int, stop: int) -> Iterator[Stimulus | Unreadable]:
        """Compose mosaics; one with an unreadable image keeps its place."""
        for number, mosaic in enumerate(self.mosaics[first:stop], start=first):
            yield self._composed(f"mosaic/{number:06d}", mosaic)

    def _composed(self, stimulus_id: str, mosaic: Mosaic) -> Stimulus | Unreadable:
        samples = []
        for index in mosaic.indices:
            try:
                samples.append(self.dataset[index])
            except UnreadableImageError as error:
                return Unreadable(self.dataset.sample_ids[index], mosaic.target, str(error), stimulus_id)
        return mosaic_stimulus(stimulus_id, mosaic, samples)


def single_source(dataset: Dataset, n_samples: int) -> SingleSource:
    """Return at most `n_samples` single images, as balanced over classes as the data allow."""
    return SingleSource(dataset, balanced_order(dataset.labels)[:n_samples])


def mosaic_source(dataset: Dataset, n_samples: int, seed: int) -> MosaicSource:
    """Return `n_samples` mosaics.

    Raises:
        IncompatibleError: If there are too few images for one.
    """
    return MosaicSource(dataset, drawn_mosaics(dataset.labels, n_mosaics=n_samples, seed=seed))


def grid_source(
    dataset: Dataset, kind: StimulusKind, pools: Sequence[Pool], n_samples: int, seed: int = 0
) -> GridSource:
    """Return at most `n_samples` grids.

    Args:
        dataset: Where the images come from.
        kind: Rule, cells per side and view.
        pools: The pool of the model to explain, or those of all models of the run.
        n_samples: Number of grids wanted.
        seed: Seed of the run, for rules without a seed of their own.

    Raises:
        IncompatibleError: If the confident images do not suffice for a single grid.
    """
    placement: Placement = "column_major" if kind.rule in _OFFSET_RULES else "row_major"
    return GridSource(
        dataset,
        _grids(dataset.labels, kind, pools, n_samples, seed),
        placement,
        prepare=_preparation(kind),
        corners=kind.has_corner_targets,
    )


def _grids(
    labels: Sequence[int], kind: StimulusKind, pools: Sequence[Pool], n_grids: int, seed: int
) -> list[tuple[int, ...]]:
    probabilities = torch.stack([pool.label_probability for pool in pools])
    correct = torch.stack([pool.correct for pool in pools])
    if kind.rule == _HOW_TO_PROBE:
        eligible = confident_for_all(probabilities, correct, min_probability=MIN_PROBABILITY)
        return drawn_grids(labels, eligible, n=kind.n, n_grids=n_grids, seed=seed, max_per_class=MAX_PER_CLASS)
    if kind.rule in (_RAO, _RAO_REPEATED):
        eligible = confident_for_all(probabilities, correct)
        repeat = kind.rule == _RAO_REPEATED
        return rao_grids(labels, eligible, n=kind.n, n_grids=n_grids, repeat_corners=repeat)
    pool = shared_pool(pools) if kind.pool == "shared" else pools[0]
    if kind.rule == _ALOE:
        eligible = pool.correct & (pool.label_probability > ALOE_PROBABILITY)
        return drawn_grids(labels, eligible, n=kind.n, n_grids=n_grids, seed=seed)
    rule = _OFFSET_RULES[kind.rule]
    return bcos_grids(labels, pool.max_logits, pool.correct, n=kind.n, n_grids=n_grids, offset_rule=rule)


def _preparation(kind: StimulusKind) -> Callable[[Sample], Sample] | None:
    """Return what is done to every image before it becomes a cell."""
    if kind.view == "rescaled":
        return functools.partial(_as_cell_of_native_size, n=kind.n)
    return as_stored if kind.rule == _HOW_TO_PROBE else None


def _as_cell_of_native_size(sample: Sample, n: int) -> Sample:
    return rescaled(sample, sample.image.shape[-1] // n)
