"""Which logit of a network is which class of a dataset, by their names."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace

from bcos_eval.contract.stimulus import Counterfactuals
from bcos_eval.errors import InputError

from .digest import dataset_digest
from .sample import CounterfactualDataset, Dataset, Sample

_N_SHOWN = 3


def logits_of_classes(network_names: Sequence[str], dataset_names: Sequence[str]) -> tuple[int, ...]:
    """Return, for every class of a dataset, the index of the network's logit of the same name.

    Names are equal if they differ in case, in spaces, hyphens and underscores, or in what follows a comma
    (synonyms) alone. Networks that know their classes by numbers only cannot be mapped: they keep the dataset's
    order if they have as many logits.

    Args:
        network_names: Name of the class of every logit.
        dataset_names: Name of every class of the dataset.

    Raises:
        InputError: If a class has no logit of its name or several, or a network without names has another number
            of logits.

    Example:
        >>> logits_of_classes(["cat", "garbage truck", "dog"], ["dog", "Garbage_truck"])
        (2, 1)
    """
    if tuple(network_names) == tuple(dataset_names):
        return tuple(range(len(dataset_names)))
    if not has_class_names(network_names):
        if len(network_names) == len(dataset_names):
            return tuple(range(len(dataset_names)))
        raise InputError(
            f"the network has {len(network_names)} logits without names and the dataset {len(dataset_names)} "
            "classes; give the network class_names, or choose the dataset that it was trained on."
        )
    logits: dict[str, list[int]] = {}
    for index, name in enumerate(network_names):
        logits.setdefault(_plain(name), []).append(index)
    found = [logits.get(_plain(name), []) for name in dataset_names]
    missing = [name for name, indices in zip(dataset_names, found, strict=True) if not indices]
    if missing:
        shown = ", ".join(f"'{name}'" for name in missing[:_N_SHOWN])
        raise InputError(
            f"the network has no logit for {len(missing)} of the dataset's {len(dataset_names)} classes ({shown}, "
            f"…); its own classes are '{network_names[0]}', '{network_names[1]}', …: choose the dataset it was "
            "trained on, or rename the class folders."
        )
    doubtful = [name for name, indices in zip(dataset_names, found, strict=True) if len(indices) > 1]
    if doubtful or len({indices[0] for indices in found}) < len(found):
        name = doubtful[0] if doubtful else "two classes of the dataset"
        raise InputError(f"'{name}' may be several of the network's classes; rename the class folder.")
    return tuple(indices[0] for indices in found)


class RelabelledDataset:
    """A dataset whose labels are a network's logits, found by the names of the classes.

    Args:
        dataset: With classes that the network knows by name, in any order; they may be a part of its classes.
        network_names: Name of the class of every logit.

    Raises:
        InputError: As for `logits_of_classes`.
    """

    def __init__(self, dataset: Dataset, network_names: Sequence[str]) -> None:
        self.dataset = dataset
        self.logits = logits_of_classes(network_names, dataset.class_names)
        self.name = dataset.name
        self.class_names = tuple(network_names)
        self.sample_ids = dataset.sample_ids
        self.labels = tuple(self.logits[label] for label in dataset.labels)

    @property
    def has_regions(self) -> bool:
        """Whether samples come with an object region."""
        return self.dataset.has_regions

    def digest(self) -> str:
        """Hex digest that changes when the samples or the order of the network's classes change."""
        return dataset_digest({"dataset": self.dataset.digest(), "logits": self.logits}, [])

    def __len__(self) -> int:
        """Number of samples."""
        return len(self.dataset)

    def __getitem__(self, index: int) -> Sample:
        """The sample at a position in dataset order, labelled with a logit."""
        sample = self.dataset[index]
        return replace(sample, label=self.logits[sample.label])


class RelabelledScenes(RelabelledDataset):
    """The same for a dataset that can show its scenes without one of their parts."""

    dataset: CounterfactualDataset

    def counterfactuals(self, index: int) -> Counterfactuals:
        """The scene at a position in dataset order, without each of its parts in turn."""
        return self.dataset.counterfactuals(index)


def in_classes_of(dataset: Dataset, network_names: Sequence[str]) -> Dataset:
    """Return the dataset with a network's logits as labels; itself where they are its labels already.

    Args:
        dataset: The dataset.
        network_names: Name of the class of every logit.

    Raises:
        InputError: As for `logits_of_classes`.
    """
    in_order = tuple(range(len(network_names)))
    if logits_of_classes(network_names, dataset.class_names) == in_order:
        return dataset
    if isinstance(dataset, CounterfactualDataset):
        return RelabelledScenes(dataset, network_names)
    return RelabelledDataset(dataset, network_names)


def has_class_names(names: Sequence[str]) -> bool:
    """Return whether names are more than the numbers that a network without names has."""
    return list(names) != [str(index) for index in range(len(names))]


def _plain(name: str) -> str:
    return re.sub(r"[\s_-]+", " ", name.partition(",")[0]).strip().casefold()
