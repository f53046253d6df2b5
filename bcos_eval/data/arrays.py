"""Images, labels and masks that lie in memory already, as a dataset."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from bcos_eval.errors import InputError

from .sample import Sample

Array: TypeAlias = "Tensor | npt.NDArray[np.generic]"

_MAX_LEVEL = 255


class ArrayDataset:
    """A dataset from tensors or NumPy arrays.

    Args:
        images: `(N, 3, H, W)` or `(N, H, W, 3)`; floating point in [0, 1], or uint8.
        labels: Class indices `(N,)`, integers from 0.
        masks: True (or above 0) on the object of each image, `(N, H, W)`; None where nobody knows.
        class_names: One name per class; by default the numbers up to the largest label.
        sample_ids: One per image, all different; by default the places in the arrays.
        name: As in the tables.

    Raises:
        InputError: If shapes, types or values are others.

    Example:
        >>> dataset = ArrayDataset(torch.rand(2, 3, 8, 8), [0, 1], torch.ones(2, 8, 8, dtype=torch.bool))
        >>> dataset[1].label, dataset.has_regions
        (1, True)
    """

    def __init__(
        self,
        images: Array,
        labels: Array | Sequence[int],
        masks: Array | None = None,
        *,
        class_names: Sequence[str] | None = None,
        sample_ids: Sequence[str] | None = None,
        name: str = "arrays",
    ) -> None:
        self.name = name
        self._images = _as_images(torch.as_tensor(images).detach().cpu())
        n, _, height, width = self._images.shape
        self._masks = None if masks is None else _as_masks(torch.as_tensor(masks).cpu(), (n, height, width))
        self.labels = _as_labels(torch.as_tensor(labels).cpu(), n)
        largest = max(self.labels)
        names = tuple(map(str, range(largest + 1))) if class_names is None else tuple(map(str, class_names))
        if len(names) <= largest:
            raise InputError(f"label {largest} has no name among {len(names)} class names; give one per class.")
        self.class_names = names
        ids = tuple(f"{index:06d}" for index in range(n)) if sample_ids is None else tuple(map(str, sample_ids))
        if len(ids) != n or len(set(ids)) != n:
            raise InputError(f"{len(set(ids))} different sample ids for {n} images; give each image its own.")
        self.sample_ids = ids

    @property
    def has_regions(self) -> bool:
        """Whether masks were given."""
        return self._masks is not None

    def digest(self) -> str:
        """Hex digest of every pixel, label, mask and name."""
        digest = hashlib.sha256(repr((self.name, self.class_names, self.sample_ids, self.labels)).encode())
        for part in (self._images, self._masks):
            if part is not None:
                digest.update(repr((part.shape, part.dtype)).encode())
                digest.update(part.contiguous().numpy().tobytes())
        return digest.hexdigest()

    def __len__(self) -> int:
        """Number of samples."""
        return len(self.labels)

    def __getitem__(self, index: int) -> Sample:
        """The sample at a position; its tensors are copies."""
        image = self._images[index]
        image = image.float() / _MAX_LEVEL if image.dtype == torch.uint8 else image.float()
        region = None if self._masks is None else self._masks[index].clone()
        return Sample(self.sample_ids[index], image.clone(), self.labels[index], region)


def _as_images(images: Tensor) -> Tensor:
    if images.ndim == 4 and images.shape[1] != 3 and images.shape[-1] == 3:
        images = images.permute(0, 3, 1, 2)
    if images.ndim != 4 or images.shape[1] != 3 or images.numel() == 0:
        raise InputError(f"images have shape {tuple(images.shape)}; give (N, 3, H, W) or (N, H, W, 3), not empty.")
    if images.dtype == torch.uint8:
        return images
    if not images.is_floating_point():
        raise InputError(f"images have type {images.dtype}; give floating point in [0, 1] or uint8.")
    low, high = float(images.min()), float(images.max())
    if not (low >= 0 and high <= 1):  # written so that NaN fails too
        raise InputError(f"images have values from {low:g} to {high:g}; give pixels in [0, 1], not normalised.")
    return images


def _as_masks(masks: Tensor, shape: tuple[int, ...]) -> Tensor:
    if tuple(masks.shape) != shape:
        raise InputError(f"masks have shape {tuple(masks.shape)}; for these images give {shape}.")
    return masks > 0


def _as_labels(labels: Tensor, n: int) -> tuple[int, ...]:
    is_integer = not (labels.is_floating_point() or labels.is_complex() or labels.dtype == torch.bool)
    if not is_integer or tuple(labels.shape) != (n,):
        raise InputError(
            f"labels have shape {tuple(labels.shape)} and type {labels.dtype}; give {n} class indices, integers."
        )
    if int(labels.min()) < 0:
        raise InputError(f"label {int(labels.min())} is no class index; give numbers from 0.")
    return tuple(labels.tolist())
