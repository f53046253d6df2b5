"""`imagenette`: ten easily told classes of ImageNet, in the release's layout `train/<wnid>/`, `val/<wnid>/`."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from .folder import FolderDataset
from .transform import EvaluationTransform

# The release's classes: WordNet id and the name its publisher gives.
# Source: Howard, Imagenette (github.com/fastai/imagenette).
IMAGENETTE_CLASSES = {
    "n01440764": "tench",
    "n02102040": "English springer",
    "n02979186": "cassette player",
    "n03000684": "chain saw",
    "n03028079": "church",
    "n03394916": "French horn",
    "n03417042": "garbage truck",
    "n03425413": "gas pump",
    "n03445777": "golf ball",
    "n03888257": "parachute",
}


class ImagenetteDataset(FolderDataset):
    """Photographs of the ten classes, in the order of their WordNet ids; classes have their English names.

    Arguments and errors as for `FolderDataset`; folders of other classes keep their names.
    """

    name = "imagenette"

    def __init__(
        self,
        root: Path,
        *,
        split: Literal["val", "train"] = "val",
        size: int | None = None,
        resize: int | None = None,
        transform: EvaluationTransform | None = None,
    ) -> None:
        super().__init__(root, split=split, size=size, resize=resize, transform=transform)
        self.class_names = tuple(IMAGENETTE_CLASSES.get(name, name) for name in self.class_names)
