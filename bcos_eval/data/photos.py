"""`photos`: pictures without labels; what is explained is what a network takes each of them for."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor

from bcos_eval.errors import InputError, UnreadableImageError

from .digest import dataset_digest, file_digests
from .image_file import read_photograph, to_tensor
from .listing import image_files, require_directory
from .sample import Sample
from .transform import EvaluationTransform

_LAYOUT = "a folder of pictures"
# Pictures that a network looks at together; fixed, so that rounding cannot change what it takes one for.
_BATCH_SIZE = 32


class PhotosDataset:
    """All pictures in a folder and below, without labels and without regions: see `PredictedPhotos`.

    Args:
        root: The folder.
        transform: What makes a photograph the square that is shown; by default that for 224 pixels.

    Raises:
        InputError: If the root is not a directory or holds no picture.
    """

    name = "photos"
    class_names = ("unlabelled",)
    has_regions = False

    def __init__(self, root: Path, *, transform: EvaluationTransform | None = None) -> None:
        self.transform = transform or EvaluationTransform.for_size(None, None)
        self._root = require_directory(root, _LAYOUT)
        self.sample_ids: Sequence[str] = tuple(image_files(self._root))
        if not self.sample_ids:
            raise InputError(f"'{root}' holds no pictures; --data-dir must be {_LAYOUT}.")

    @property
    def labels(self) -> Sequence[int]:
        """Zero for all: nobody has said what they show."""
        return (0,) * len(self)

    def digest(self) -> str:
        """Hex digest of relative paths, the transform and the bytes of all pictures."""
        contents = file_digests([self._root / sample_id for sample_id in self.sample_ids])
        return dataset_digest(
            {"name": self.name, "transform": self.transform}, list(zip(self.sample_ids, contents, strict=True))
        )

    def __len__(self) -> int:
        """Number of pictures."""
        return len(self.sample_ids)

    def __getitem__(self, index: int) -> Sample:
        """The picture at a position, in the order of paths.

        Raises:
            UnreadableImageError: If its file cannot be decoded.
        """
        photograph = read_photograph(self._root / self.sample_ids[index])
        return Sample(self.sample_ids[index], to_tensor(self.transform.image(photograph.image)), 0)


class PredictedPhotos:
    """Pictures labelled with what a network takes them for.

    Args:
        photos: The pictures.
        labels: The network's class of each.
        class_names: Names of the network's classes.
    """

    name = PhotosDataset.name
    has_regions = False

    def __init__(self, photos: PhotosDataset, labels: Sequence[int], class_names: Sequence[str]) -> None:
        self.transform = photos.transform
        self.sample_ids = photos.sample_ids
        self.labels = tuple(labels)
        self.class_names = tuple(class_names)
        self._photos = photos

    def digest(self) -> str:
        """Hex digest that changes when the pictures or the predictions change."""
        return dataset_digest({"photos": self._photos.digest(), "predicted": self.labels}, [])

    def __len__(self) -> int:
        """Number of pictures."""
        return len(self._photos)

    def __getitem__(self, index: int) -> Sample:
        """The picture at a position with its predicted class; errors as for `PhotosDataset`."""
        return replace(self._photos[index], label=self.labels[index])


@torch.no_grad()
def predicted_labels(
    photos: PhotosDataset, logits_of: Callable[[Tensor], Tensor], advance: Callable[[int], None]
) -> list[int]:
    """Return the class with the largest logit of every picture, 0 for pictures that cannot be read.

    Args:
        photos: The pictures.
        logits_of: Maps images `(B, 3, H, W)` in [0, 1] to logits `(B, C)`.
        advance: Told the number of pictures done.
    """
    labels: list[int] = []
    for first in range(0, len(photos), _BATCH_SIZE):
        places = range(first, min(first + _BATCH_SIZE, len(photos)))
        readable: dict[int, Tensor] = {}
        for place in places:
            try:
                readable[place] = photos[place].image
            except UnreadableImageError:
                continue  # it keeps its place, and the run names it
        winners = logits_of(torch.stack(list(readable.values()))).argmax(1).tolist() if readable else []
        found = dict(zip(readable, winners, strict=True))
        labels += [found.get(place, 0) for place in places]
        advance(len(places))
    return labels
