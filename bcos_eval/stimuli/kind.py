"""What a kind of stimulus is, and all kinds by name; each lies in a module of its own."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Literal, Protocol

import torch
from torch import Tensor

from bcos_eval.contract.metric import MetricInfo, Target
from bcos_eval.contract.network import Network
from bcos_eval.contract.params import Param
from bcos_eval.contract.statuses import Status
from bcos_eval.contract.stimulus import Stimulus
from bcos_eval.data.sample import Dataset
from bcos_eval.errors import UnreadableImageError, reason_of, unknown_name

from .pool import GrowingPool, Pool

# Whose confident images grids are made of: the explained model's own, or those that all models of a run share.
PoolChoice = Literal["own", "shared"]

# (network, images (B, 3, H, W), targets (B, K)) -> maps (B, K, H, W)
Explain = Callable[[Network, Tensor, Tensor], Tensor]


@dataclass(frozen=True, slots=True)
class Unreadable:
    """The place of a stimulus that cannot be made.

    Attributes:
        sample_id: The image that is missing.
        label: The target.
        reason: Why, in one line.
        stimulus_id: Empty for single images.
        status: `skipped` for an image that cannot be decoded, `failed` for whatever else was raised.
    """

    sample_id: str
    label: int
    reason: str
    stimulus_id: str = ""
    status: Status = Status.SKIPPED

    @staticmethod
    def because(error: Exception, sample_id: str, label: int, stimulus_id: str = "") -> Unreadable:
        """Return the place of a stimulus whose making raised."""
        if isinstance(error, UnreadableImageError):
            return Unreadable(sample_id, label, str(error), stimulus_id)
        return Unreadable(sample_id, label, reason_of(error), stimulus_id, Status.FAILED)


class StimulusSource(Protocol):
    """Stimuli by position; each is made when it is read."""

    def __len__(self) -> int:
        """Number of stimuli."""
        ...

    def read(self, first: int, stop: int) -> Iterator[Stimulus | Unreadable]:
        """Make the stimuli at positions `first` to `stop` (exclusive)."""
        ...


@dataclass(frozen=True, slots=True)
class Material:
    """What a source is made of.

    Attributes:
        dataset: Where images come from, in the size that the model wants.
        n_samples: Number of stimuli wanted.
        seed: Seed of the run.
        pools: What models say of the dataset's images: of the one to explain, or of all where the kind depends on
            all. Each looks at the images it is asked about (`look`), which takes a pass over them.
        own_labels: The images' classes in the dataset's own numbers, so that models which number classes otherwise
            are shown the same images in the same order; None where these are the labels of `dataset`.
    """

    dataset: Dataset
    n_samples: int
    seed: int
    pools: Callable[[], Sequence[Pool | GrowingPool]]
    own_labels: Sequence[int] | None = None

    @property
    def class_order(self) -> Sequence[int]:
        """The images' classes in the numbers that decide an order."""
        return self.dataset.labels if self.own_labels is None else self.own_labels


class StimulusKind(ABC):
    """A kind of stimulus; metrics that ask for the same kind share attributions. Kinds are compared by value."""

    name: ClassVar[str]
    # What an interruption can cost: stimuli that are stored together.
    per_shard: ClassVar[int] = 50
    # Whether the first stimuli are of images that models are surest of, so that their mean is not that of all.
    is_ranked: ClassVar[bool] = False

    @property
    @abstractmethod
    def label(self) -> str:
        """The kind in one word, with whatever tells it from others of its name."""

    @property
    @abstractmethod
    def plural(self) -> str:
        """What several of the kind are called in a sentence."""

    @abstractmethod
    def as_json(self) -> dict[str, Any]:
        """The kind as plain values, for a shard's key."""

    @abstractmethod
    def source(self, material: Material) -> StimulusSource:
        """Return at most `material.n_samples` stimuli.

        Raises:
            IncompatibleError: If not a single one can be made.
        """

    @property
    def n_targets(self) -> int:
        """Number of targets of a stimulus."""
        return 1

    @property
    def needs_regions(self) -> bool:
        """Whether only the dataset can say where a target's evidence is."""
        return False

    @property
    def pools_all_models(self) -> bool:
        """Whether the stimuli depend on every model of the run, and not only on the one explained."""
        return False

    def trial(self, material: Material) -> Stimulus | Unreadable:
        """Return a stimulus of this size and make without asking a model, to time how long one takes."""
        return next(self.source(replace(material, n_samples=1)).read(0, 1))

    def images_to_look_at(self, _material: Material) -> tuple[int, int]:
        """Return how many images models are shown, at least and at most, to find the stimuli."""
        return 0, 0

    def departs(self, _info: MetricInfo) -> str:
        """What labels add where the stimuli are not those that the metric's preset is usually measured on."""
        return ""

    def n_looked_at(self, _source: StimulusSource, _stop: int) -> int | None:
        """Number of images looked at until the stimuli before a position were found; None if none is left out."""
        return None

    @property
    def is_shown_whole(self) -> bool:
        """Whether the network is shown the image of a stimulus as it is."""
        return True

    @property
    def shares_pictures(self) -> bool:
        """Whether an id names the same picture in all kinds of this name, whose attributions are shared then."""
        return False

    def check(self, network: Network, method: str, params: Mapping[str, Param], metric: str) -> None:  # noqa: B027 - most allow all
        """Refuse a network or an explainer's parameters that stimuli of this kind cannot be explained with.

        Args:
            network: The network to explain.
            method: What is to explain it, for the message.
            params: Parameters of the method.
            metric: What is to be scored, for the message.

        Raises:
            IncompatibleError: If they cannot.
        """

    def check_classes(self, dataset: Dataset) -> None:  # noqa: B027 - most take any
        """Refuse a dataset with too few classes, before any of its images is read.

        Raises:
            IncompatibleError: If it has.
        """

    def check_size(self, network: Network, device: torch.device) -> None:  # noqa: B027 - most are of native size
        """Refuse a network that takes no image of the stimuli's size.

        Raises:
            IncompatibleError: If it fails on one.
        """

    def caution(self, network: Network, metric: str) -> str:
        """Return what readers of the scores of this network must know; empty where there is nothing.

        Args:
            network: The network to explain.
            metric: What is to be scored.
        """
        return ""

    def explain(self, explain: Explain, network: Network, images: Tensor, targets: Tensor) -> Tensor:
        """Return the attributions of stimuli the way their kind wants the network to see them.

        Args:
            explain: Makes the attributions of a network.
            network: The network to explain.
            images: `(B, 3, H, W)` in [0, 1].
            targets: `(B, K)`.

        Returns:
            Signed maps `(B, K, H, W)`.
        """
        return explain(network, images, targets)


# (metric, its parameters, whose pool) -> kind
KindMaker = Callable[[MetricInfo, Mapping[str, Param], PoolChoice], StimulusKind]

STIMULI: dict[str, KindMaker] = {}


def register_stimulus(name: str) -> Callable[[KindMaker], KindMaker]:
    """Return a decorator that enters a maker of kinds under a name, which metrics state as their `stimulus`.

    Raises:
        ValueError: If the name is taken.
    """

    def enter(make: KindMaker) -> KindMaker:
        if name in STIMULI:
            raise ValueError(f"stimulus '{name}' is registered twice; choose another name")
        STIMULI[name] = make
        return make

    return enter


def stimulus_kind(
    info: MetricInfo, params: Mapping[str, Param], pool: PoolChoice = "own", target: Target | None = None
) -> StimulusKind:
    """Return what a metric is measured on.

    Args:
        info: The metric.
        params: Its parameters.
        pool: Whose confident images grids are made of.
        target: Which class of a single image is explained, where that is asked for; the preset's choice otherwise.
            What a model predicts can be explained of any image, so that none is left out then.

    Raises:
        InputError: If there is no such kind, or its parameters are not allowed.
    """
    if info.stimulus not in STIMULI:
        raise unknown_name(f"stimulus of metric {info.key}", info.stimulus, STIMULI)
    asked = info if target in (None, info.target) else replace(info, target=target, images="all")
    return STIMULI[info.stimulus](asked, params, pool)
