"""Which logit of a network is which class of a dataset, by their names."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from bcos_eval.contract.stimulus import Counterfactuals
from bcos_eval.errors import InputError

from .digest import dataset_digest
from .sample import CounterfactualDataset, Dataset, Sample
from .wnids import names_imagenet, plain_name, shared_name, wnids_of

_N_SHOWN = 3


def logits_of_classes(network_names: Sequence[str], dataset_names: Sequence[str]) -> tuple[int | None, ...]:
    """Return, for every class of a dataset, the index of the network's logit of the same class.

    Names are equal if they differ in case, in spaces, hyphens and underscores, or in what follows a comma
    (synonyms) alone; ImageNet's classes also go by their WordNet ids. Networks that know their classes by
    numbers only cannot be mapped: they keep the dataset's order if they have as many logits.

    Args:
        network_names: Name of the class of every logit.
        dataset_names: Name of every class of the dataset.

    Returns:
        Indices of logits; None for a class unknown to the network, where all of the network's own are known.

    Raises:
        InputError: If a class has several logits of its name, if the network lacks classes of the dataset and the
            dataset lacks some of the network's, or a network without names has another number of logits.

    Example:
        >>> logits_of_classes(["cat", "tench", "dog"], ["dog", "n01440764"])
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
    found = _logits_called(network_names, dataset_names)
    doubtful = [name for name, indices in zip(dataset_names, found, strict=True) if len(indices) > 1]
    if doubtful:
        raise InputError(
            f"'{doubtful[0]}' may be several of the network's classes; give its folder the WordNet id or "
            "another name."
        )
    matched: dict[int, str] = {}
    for name, indices in zip(dataset_names, found, strict=True):
        if indices and matched.setdefault(indices[0], name) != name:
            raise InputError(
                f"'{matched[indices[0]]}' and '{name}' are one class of the network; put their images in "
                "one folder."
            )
    missing = [name for name, indices in zip(dataset_names, found, strict=True) if not indices]
    if missing and len(matched) < len(network_names):
        shown = ", ".join(f"'{name}'" for name in missing[:_N_SHOWN])
        raise InputError(
            f"the network has no logit for {len(missing)} of the dataset's {len(dataset_names)} classes ({shown}, "
            f"…); its own classes are '{network_names[0]}', '{network_names[1]}', …: choose the dataset it was "
            "trained on, or rename the class folders."
        )
    return tuple(indices[0] if indices else None for indices in found)


def _logits_called(network_names: Sequence[str], dataset_names: Sequence[str]) -> list[list[int]]:
    """Indices of all logits that a class of the dataset may be, for every class."""
    name_in_network = shared_name if names_imagenet(network_names) else plain_name
    logits: dict[str, set[int]] = {}
    for index, (name, wnid) in enumerate(zip(network_names, wnids_of(network_names), strict=True)):
        for key in (wnid, name_in_network(name)):
            if key is not None:
                logits.setdefault(key, set()).add(index)
    wnids = wnids_of(dataset_names)
    keys = [wnid or plain_name(name) for name, wnid in zip(dataset_names, wnids, strict=True)]
    return [sorted(logits.get(key, ())) for key in keys]


class RelabelledDataset:
    """A dataset whose labels are a network's logits, found by the names of the classes.

    Images of classes that the network does not know are left out.

    Args:
        dataset: With classes that the network knows by name, in any order; or with all of the network's and more.
        network_names: Name of the class of every logit.

    Raises:
        InputError: As for `logits_of_classes`, and if there is no image of the network's classes.
    """

    def __init__(self, dataset: Dataset, network_names: Sequence[str]) -> None:
        self.dataset = dataset
        self.logits = logits_of_classes(network_names, dataset.class_names)
        self._places = [place for place, label in enumerate(dataset.labels) if self.logits[label] is not None]
        if not self._places:
            raise InputError(
                f"dataset '{dataset.name}' has no image of the network's classes '{network_names[0]}', "
                f"'{network_names[1]}', …; choose the dataset it was trained on."
            )
        self.name = dataset.name
        self.class_names = tuple(network_names)
        self.sample_ids = tuple(dataset.sample_ids[place] for place in self._places)
        self.own_labels = tuple(dataset.labels[place] for place in self._places)
        self.labels = tuple(self._logit(label) for label in self.own_labels)

    @property
    def has_regions(self) -> bool:
        """Whether samples come with an object region."""
        return self.dataset.has_regions

    def digest(self) -> str:
        """Hex digest that changes when the samples or the order of the network's classes change."""
        return dataset_digest({"dataset": self.dataset.digest(), "logits": self.logits}, [])

    def __len__(self) -> int:
        """Number of samples."""
        return len(self._places)

    def __getitem__(self, index: int) -> Sample:
        """The sample at a position in dataset order, labelled with a logit."""
        sample = self.dataset[self._places[index]]
        return replace(sample, label=self._logit(sample.label))

    def _logit(self, label: int) -> int:
        logit = self.logits[label]
        if logit is None:
            raise ValueError(f"class {label} of dataset '{self.name}' has no logit")
        return logit


class RelabelledScenes(RelabelledDataset):
    """The same for a dataset that can show its scenes without one of their parts."""

    dataset: CounterfactualDataset

    def counterfactuals(self, index: int) -> Counterfactuals:
        """The scene at a position in dataset order, without each of its parts in turn."""
        return self.dataset.counterfactuals(self._places[index])


def in_classes_of(dataset: Dataset, network_names: Sequence[str]) -> Dataset:
    """Return the dataset with a network's logits as labels; itself where they are its labels already.

    Args:
        dataset: The dataset.
        network_names: Name of the class of every logit.

    Raises:
        InputError: As for `RelabelledDataset`.
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
