"""Single images as stimuli: one target each, pointing at the object's region."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from bcos_eval.contract.metric import MetricInfo
from bcos_eval.contract.params import Param
from bcos_eval.contract.stimulus import Counterfactuals, Stimulus
from bcos_eval.data.sample import CounterfactualDataset, Dataset, Sample

from .kind import Material, PoolChoice, StimulusKind, Unreadable, register_stimulus


def balanced_order(labels: Sequence[int]) -> list[int]:
    """Positions of all samples, one class after the other in turn.

    The first sample of every class in class order, then the second of every class, and so on; classes that
    have run out are passed over. Any prefix is as balanced over classes as the data allow.

    Example:
        >>> balanced_order([0, 0, 0, 1, 2, 2])
        [0, 3, 4, 1, 5, 2]
    """
    turn_of_class: dict[int, int] = {}
    turns = []
    for label in labels:
        turns.append(turn_of_class.get(label, 0))
        turn_of_class[label] = turns[-1] + 1
    return sorted(range(len(labels)), key=lambda index: (turns[index], labels[index]))


def single_stimulus(sample: Sample, counterfactuals: Callable[[], Counterfactuals] | None = None) -> Stimulus:
    """A sample as a stimulus with K = 1, its label as target.

    The region `(1, H, W)` is all False where the dataset does not say, or where the crop left nothing of it.

    Args:
        sample: What is shown.
        counterfactuals: Renders it without each of its parts, see `Stimulus`.

    Raises:
        ValueError: If the region's shape is not the image's.
    """
    height, width = sample.image.shape[1:]
    region = sample.region
    if region is None:
        region = torch.zeros(height, width, dtype=torch.bool)
    if region.shape != (height, width):
        raise ValueError(
            f"sample '{sample.sample_id}': region {tuple(region.shape)} does not fit the image's "
            f"{(height, width)}; both must have the same height and width."
        )
    return Stimulus(
        stimulus_id=f"single/{sample.sample_id}",
        image=sample.image,
        targets=torch.tensor([sample.label]),
        regions=region[None],
        sample_ids=(sample.sample_id,),
        counterfactuals=counterfactuals,
    )


def stimulus_at(dataset: Dataset, index: int) -> Stimulus:
    """The sample at a position as a stimulus, with its counterfactuals where the dataset renders them.

    Raises:
        UnreadableImageError: If the image cannot be read.
    """
    if not isinstance(dataset, CounterfactualDataset):
        return single_stimulus(dataset[index])
    return single_stimulus(dataset[index], functools.partial(dataset.counterfactuals, index))


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
        """Read images; one that cannot be read, or whose boxes cannot, keeps its place."""
        for index in self.indices[first:stop]:
            try:
                yield stimulus_at(self.dataset, index)
            except Exception as error:  # whatever a dataset raises costs this image and no other
                yield Unreadable.because(error, self.dataset.sample_ids[index], self.dataset.labels[index])


@dataclass(frozen=True, slots=True)
class SingleKind(StimulusKind):
    """Single images, as balanced over classes as the data allow."""

    name = "single"

    @property
    def label(self) -> str:
        """`single`."""
        return self.name

    @property
    def plural(self) -> str:
        """`images`."""
        return "images"

    @property
    def needs_regions(self) -> bool:
        """An image does not say where its object is."""
        return True

    def as_json(self) -> dict[str, Any]:
        """The kind as plain values, for a shard's key."""
        return {"name": self.name, "rule": "", "n": 1}

    def source(self, material: Material) -> SingleSource:
        """Return at most as many images as are wanted."""
        return SingleSource(material.dataset, balanced_order(material.dataset.labels)[: material.n_samples])


@register_stimulus(SingleKind.name)
def _single_kind(_info: MetricInfo, _params: Mapping[str, Param], _pool: PoolChoice) -> SingleKind:
    return SingleKind()
