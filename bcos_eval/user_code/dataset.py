"""A dataset of the user's own, held to what the suite takes datasets to be."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, cast

import torch
from torch import Tensor

from bcos_eval.contract.stimulus import Counterfactuals
from bcos_eval.data import CounterfactualDataset, Dataset, Sample
from bcos_eval.errors import InputError, UnreadableImageError

# Undoing a normalisation leaves values this far outside [0, 1].
_ROUNDING = 1e-5
# So many images are looked at before any work; the others when they are used.
_N_TRIED = 3
_N_SHOWN = 3


class CheckedDataset:
    """A dataset whose ids are distinct texts, whose labels are classes and whose images have pixels in [0, 1].

    Args:
        dataset: The user's.

    Raises:
        InputError: If ids are shared, labels are no classes, or one of the first images is not as it should be.
    """

    def __init__(self, dataset: Dataset) -> None:
        self._dataset = dataset
        self.name = str(dataset.name)
        self.class_names = tuple(map(str, dataset.class_names))
        self.sample_ids: Sequence[str] = tuple(map(str, dataset.sample_ids))
        self.labels: Sequence[int] = tuple(map(int, dataset.labels))
        self.has_regions = bool(dataset.has_regions)
        self._check_lists()
        self.first = self._first_image()

    def digest(self) -> str:
        """What the user's dataset says."""
        return str(self._dataset.digest())

    def __len__(self) -> int:
        """Number of samples."""
        return len(self._dataset)

    def __getitem__(self, index: int) -> Sample:
        """The sample at a position.

        Raises:
            InputError: If it is not as it should be.
        """
        sample = self._dataset[index]
        sample_id = self.sample_ids[index]
        if str(sample.sample_id) != sample_id or int(sample.label) != self.labels[index]:
            raise InputError(
                f"dataset '{self.name}': sample {index} is '{sample.sample_id}' of class {sample.label}, and "
                f"sample_ids and labels say '{sample_id}' of class {self.labels[index]}; mend one of them."
            )
        image = self._pixels(sample.image, sample_id)
        return replace(
            sample,
            sample_id=sample_id,
            label=self.labels[index],
            image=image,
            region=self._region(sample.region, image, sample_id),
        )

    def _check_lists(self) -> None:
        n, n_ids, n_labels = len(self), len(self.sample_ids), len(self.labels)
        if not n or n != n_ids or n != n_labels:
            raise InputError(
                f"dataset '{self.name}' has {n} samples, {n_ids} sample_ids and {n_labels} labels; give one id "
                "and one label for each of at least one sample."
            )
        shared = [sample_id for sample_id, count in Counter(self.sample_ids).items() if count > 1]
        if shared:
            shown = ", ".join(f"'{sample_id}'" for sample_id in shared[:_N_SHOWN])
            raise InputError(
                f"dataset '{self.name}' gives {len(shared)} ids to several samples ({shown}); give each its own, "
                "for example its path with the class folder."
            )
        n_classes = len(self.class_names)
        wrong = next((label for label in self.labels if not 0 <= label < n_classes), None)
        if wrong is not None:
            raise InputError(
                f"dataset '{self.name}' has the label {wrong}; its {n_classes} classes are 0 to {n_classes - 1}."
            )

    def _first_image(self) -> Tensor | None:
        """Return the first image that can be read, after a look at a few."""
        readable = []
        for index in range(len(self)):
            try:
                readable.append(self[index].image)
            except UnreadableImageError:
                continue
            if len(readable) == _N_TRIED:
                break
        return readable[0] if readable else None

    def _pixels(self, image: Any, sample_id: str) -> Tensor:  # noqa: ANN401 - the user's
        place = f"dataset '{self.name}': image '{sample_id}'"
        if not isinstance(image, Tensor):
            raise InputError(
                f"{place} is of type {type(image).__name__}; give a tensor (3, H, W) with pixels in [0, 1]."
            )
        if image.ndim != 3 or image.shape[0] != 3 or not image.is_floating_point() or not image.numel():
            raise InputError(
                f"{place} has shape {tuple(image.shape)} and type {image.dtype}; give (3, H, W), floating point "
                "pixels in [0, 1]."
            )
        low, high = float(image.min()), float(image.max())
        # Written so that NaN fails too.
        if not (low >= -_ROUNDING and high <= 1 + _ROUNDING):
            raise InputError(
                f"{place} has values from {low:g} to {high:g}; give pixels in [0, 1], not normalised: that is "
                "what encode is for."
            )
        return image.detach().to(torch.float32).clamp(0, 1)

    def _region(self, region: Any, image: Tensor, sample_id: str) -> Tensor | None:  # noqa: ANN401 - the user's
        if region is None:
            return None
        mask = torch.as_tensor(region)
        if mask.shape != image.shape[-2:] or mask.dtype != torch.bool:
            raise InputError(
                f"dataset '{self.name}': the region of '{sample_id}' has shape {tuple(mask.shape)} and type "
                f"{mask.dtype}; give {tuple(image.shape[-2:])}, bool, True on the object."
            )
        return mask


class CheckedCounterfactualDataset(CheckedDataset):
    """The same of a dataset that renders its scenes without their parts."""

    def counterfactuals(self, index: int) -> Counterfactuals:
        """What the user's dataset renders."""
        return cast("CounterfactualDataset", self._dataset).counterfactuals(index)


def checked_dataset(dataset: Dataset) -> CheckedDataset:
    """Return a user's dataset, held to its protocol.

    Raises:
        InputError: If it does not keep to it.
    """
    missing = [name for name in _ATTRIBUTES if not hasattr(dataset, name)]
    if missing:
        raise InputError(
            f"the dataset {type(dataset).__name__} has no {' and no '.join(missing)}; it needs "
            f"{', '.join(_ATTRIBUTES)}, or give the name of a registered one."
        )
    renders = isinstance(dataset, CounterfactualDataset)
    return CheckedCounterfactualDataset(dataset) if renders else CheckedDataset(dataset)


_ATTRIBUTES = ("name", "class_names", "sample_ids", "labels", "has_regions", "digest", "__len__", "__getitem__")
