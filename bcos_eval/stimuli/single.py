"""Single images as stimuli: one target each, pointing at the object's region."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Iterator, Sequence

import torch

from bcos_eval.data.sample import CounterfactualDataset, Dataset, Sample
from bcos_eval.errors import UnreadableImageError

from .stimulus import Counterfactuals, Stimulus


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


def single_stimuli(
    dataset: Dataset,
    indices: Iterable[int],
    *,
    on_unreadable: Callable[[int, UnreadableImageError], None] | None = None,
) -> Iterator[Stimulus]:
    """The samples at some positions of a dataset as stimuli, read one at a time.

    Args:
        dataset: Where the samples come from.
        indices: Positions in dataset order, for example from `balanced_order`.
        on_unreadable: Called with the position and the error of an image that cannot be read, which is then
            left out; without it the error is raised.

    Raises:
        UnreadableImageError: If an image cannot be read and `on_unreadable` is not given.
    """
    for index in indices:
        try:
            stimulus = stimulus_at(dataset, index)
        except UnreadableImageError as error:
            if on_unreadable is None:
                raise
            on_unreadable(index, error)
            continue
        yield stimulus
