"""Single images as stimuli: one target each, pointing at the object's region.

Metrics that remove pixels are scored on images that are classified correctly, the same for all models of a run: on
the others a falling probability of the label says nothing of the map.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch

from bcos_eval.contract.metric import Images, MetricInfo, Target
from bcos_eval.contract.params import Param
from bcos_eval.contract.stimulus import Counterfactuals, Stimulus
from bcos_eval.data.sample import CounterfactualDataset, Dataset, Sample
from bcos_eval.errors import IncompatibleError

from .kind import Material, PoolChoice, StimulusKind, StimulusSource, Unreadable, register_stimulus
from .order import balanced_order
from .pool import Pool

# Fewest images that a model is asked to look at in one go.
_FEWEST_LOOKED_AT = 32


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
        n_looked_at: How many images were looked at until each was found; None where none is left out.
        targets: The class to explain of each; None for its label.
    """

    dataset: Dataset
    indices: Sequence[int]
    n_looked_at: Sequence[int] | None = None
    targets: Sequence[int] | None = None

    def __len__(self) -> int:
        """Number of images, unreadable ones included."""
        return len(self.indices)

    def read(self, first: int, stop: int) -> Iterator[Stimulus | Unreadable]:
        """Read images; one that cannot be read, or whose boxes cannot, keeps its place."""
        for place, index in enumerate(self.indices[first:stop], start=first):
            try:
                stimulus = stimulus_at(self.dataset, index)
            except Exception as error:  # whatever a dataset raises costs this image and no other
                yield Unreadable.because(error, self.dataset.sample_ids[index], self.dataset.labels[index])
            else:
                targets = stimulus.targets if self.targets is None else torch.tensor([self.targets[place]])
                yield replace(stimulus, targets=targets)


@dataclass(frozen=True, slots=True)
class SingleKind(StimulusKind):
    """Single images, as balanced over classes as the data allow.

    Attributes:
        images: Which are shown: all, or those that every model of the run classifies correctly.
        target: Which class is explained: the image's label, or what the explained model predicts.
    """

    images: Images = "all"
    target: Target = "label"

    name = "single"

    @property
    def label(self) -> str:
        """`single`, with what is chosen of the images and their classes: `single-correct`."""
        correct = "-correct" if self.images == "correct" else ""
        return f"{self.name}{correct}{'-predicted' if self.target == 'predicted' else ''}"

    @property
    def plural(self) -> str:
        """`images`."""
        return "correctly classified images" if self.images == "correct" else "images"

    @property
    def needs_regions(self) -> bool:
        """An image does not say where its object is."""
        return True

    @property
    def pools_all_models(self) -> bool:
        """Whether an image has to be classified correctly by every model."""
        return self.images == "correct"

    def trial(self, material: Material) -> Stimulus | Unreadable:
        """Return the first image, whatever a model says of it."""
        return next(SingleSource(material.dataset, balanced_order(material.class_order)).read(0, 1))

    def images_to_look_at(self, material: Material) -> tuple[int, int]:
        """As many as are wanted; up to all of them where a wrong prediction leaves an image out."""
        n_images = len(material.dataset)
        n_wanted = min(material.n_samples, n_images)
        if self.images == "correct":
            return n_wanted, n_images
        return (n_wanted, n_wanted) if self.target == "predicted" else (0, 0)

    @property
    def shares_pictures(self) -> bool:
        """A single image is itself, whatever it was chosen for."""
        return True

    def departs(self, info: MetricInfo) -> str:
        """The class explained, where the metric's preset explains the other."""
        return "" if self.target == info.target else self.target

    def as_json(self) -> dict[str, Any]:
        """The kind as plain values, for a shard's key."""
        images = {} if self.images == "all" else {"images": self.images}
        target = {} if self.target == "label" else {"target": self.target}
        return {"name": self.name, "rule": "", "n": 1, **images, **target}

    def source(self, material: Material) -> SingleSource:
        """Return at most as many images as are wanted.

        Raises:
            IncompatibleError: If images have to be classified correctly, and none is.
        """
        order = balanced_order(material.class_order)
        source = SingleSource(material.dataset, order[: material.n_samples])
        if self.images == "correct":
            source = _correct_ones(material, order)
        if self.target == "predicted":
            (pool,) = (pool.look(source.indices) for pool in material.pools())
            source = replace(source, targets=_predicted(pool, source))
        return source

    def n_looked_at(self, source: StimulusSource, stop: int) -> int | None:
        """Number of images that were looked at until the stimuli before `stop` were found."""
        looked_at = source.n_looked_at if isinstance(source, SingleSource) else None
        return None if looked_at is None else looked_at[stop - 1]


def _correct_ones(material: Material, order: Sequence[int]) -> SingleSource:
    """Return the first images of an order that every model classifies correctly.

    Images that cannot be read and those on which a model gives NaN or raises keep their place, so that they are
    counted by their status like everywhere else.
    """
    pools, dataset = material.pools(), material.dataset
    kept: list[int] = []
    n_looked_at: list[int] = []
    start = 0
    while start < len(order) and len(kept) < material.n_samples:
        stop = start + max(_FEWEST_LOOKED_AT, material.n_samples - len(kept))
        chunk = order[start:stop]
        said = [pool.look(chunk) for pool in pools]
        for place, index in enumerate(chunk, start=start + 1):
            if len(kept) < material.n_samples and all(_counts(one, dataset, index) for one in said):
                kept.append(index)
                n_looked_at.append(place)
        start += len(chunk)
    if not kept:
        raise IncompatibleError(
            f"not one of {len(order)} images is classified correctly; use weights that were trained on these "
            "classes, or --target predicted."
        )
    return SingleSource(dataset, kept, n_looked_at)


def _counts(pool: Pool, dataset: Dataset, index: int) -> bool:
    is_flawed = bool(pool.max_logits[index].isnan()) or dataset.sample_ids[index] in pool.unreadable
    return is_flawed or bool(pool.correct[index])


def _predicted(pool: Pool, source: SingleSource) -> list[int]:
    """Return what a model predicts for each image; the label where it could not be asked."""
    said = [-1] * len(source) if pool.predicted is None else pool.predicted[list(source.indices)].tolist()
    labels = source.dataset.labels
    return [labels[index] if found < 0 else found for index, found in zip(source.indices, said, strict=True)]


@register_stimulus(SingleKind.name)
def _single_kind(info: MetricInfo, _params: Mapping[str, Param], _pool: PoolChoice) -> SingleKind:
    return SingleKind(info.images, info.target)
