"""`cifar10` and `voc2007`, read by torchvision, which fetches them where they are missing."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Literal, TypeVar

import torch
from torchvision import datasets

from bcos_eval.errors import InputError

from .boxes import Boxes, boxes_as_shown, voc_objects
from .digest import dataset_digest, file_digests
from .image_file import read_photograph, to_tensor
from .sample import Sample
from .transform import EvaluationTransform

VOC_CLASSES = (
    *("aeroplane", "bicycle", "bird", "boat", "bottle", "bus", "car", "cat", "chair", "cow"),
    *("diningtable", "dog", "horse", "motorbike", "person", "pottedplant", "sheep", "sofa", "train", "tvmonitor"),
)

_T = TypeVar("_T")


class Cifar10:
    """CIFAR-10's photographs of 32 × 32 pixels, in the release's order; there are no regions.

    Args:
        root: Folder of torchvision's `cifar-10-batches-py`; it is fetched there if it is missing.
        split: "val" is the release's test set.

    Raises:
        InputError: If it is neither there nor can be fetched.
    """

    name = "cifar10"
    has_regions = False

    def __init__(self, root: Path, *, split: Literal["val", "train"] = "val") -> None:
        is_train = split == "train"
        data = _there_or_fetched(
            lambda download: datasets.CIFAR10(str(root), train=is_train, download=download), "cifar10", root
        )
        self._images = torch.from_numpy(data.data).permute(0, 3, 1, 2)
        self.class_names = tuple(data.classes)
        self.labels = tuple(data.targets)
        self.sample_ids = tuple(f"{split}/{index:05d}" for index in range(len(self.labels)))

    def digest(self) -> str:
        """Hex digest of every pixel and label."""
        return dataset_digest({"name": self.name}, [(self.labels,), (self._images.numpy().tobytes(),)])

    def __len__(self) -> int:
        """Number of samples."""
        return len(self.labels)

    def __getitem__(self, index: int) -> Sample:
        """The sample at a position in dataset order."""
        return Sample(self.sample_ids[index], self._images[index].float() / 255, self.labels[index])


class Voc2007:
    """PASCAL VOC 2007: one sample for every class in a photograph, its region the union of that class's boxes.

    Objects marked `difficult` do not count. Ids are `<photograph>/<class>`.

    Args:
        root: Folder of torchvision's `VOCdevkit/VOC2007`; it is fetched there if it is missing.
        split: "val" is the test set, "train" is `trainval`.
        transform: What makes a photograph the square that is shown.

    Raises:
        InputError: If it is neither there nor can be fetched; if an annotation cannot be read.
    """

    name = "voc2007"
    class_names = VOC_CLASSES
    has_regions = True

    def __init__(
        self,
        root: Path,
        *,
        split: Literal["val", "train"] = "val",
        transform: EvaluationTransform | None = None,
    ) -> None:
        self.transform = transform or EvaluationTransform()
        which = "test" if split == "val" else "trainval"
        data = _there_or_fetched(
            lambda download: datasets.VOCDetection(str(root), year="2007", image_set=which, download=download),
            "voc2007",
            root,
        )
        self._images: list[Path] = []
        self._boxes: list[Boxes] = []
        labels, ids = [], []
        for image, annotation in zip(map(Path, data.images), map(Path, data.annotations), strict=True):
            for class_name, boxes in voc_objects(annotation).items():
                if class_name in VOC_CLASSES:
                    self._images.append(image)
                    self._boxes.append(boxes)
                    labels.append(VOC_CLASSES.index(class_name))
                    ids.append(f"{image.stem}/{class_name}")
        self.labels, self.sample_ids = tuple(labels), tuple(ids)

    def digest(self) -> str:
        """Hex digest of ids, boxes, the transform and the bytes of the photographs."""
        contents = file_digests(self._images)
        rows = zip(self.sample_ids, self._boxes, contents, strict=True)
        return dataset_digest({"name": self.name, "transform": self.transform}, rows)

    def __len__(self) -> int:
        """Number of samples."""
        return len(self.labels)

    def __getitem__(self, index: int) -> Sample:
        """The sample at a position in dataset order.

        Raises:
            UnreadableImageError: If its file cannot be decoded.
        """
        photograph = read_photograph(self._images[index])
        boxes = boxes_as_shown(self._boxes[index], photograph)
        region = self.transform.region_of_boxes(boxes, *photograph.image.size)
        image = to_tensor(self.transform.image(photograph.image))
        return Sample(self.sample_ids[index], image, self.labels[index], region)


def _there_or_fetched(load: Callable[[bool], _T], name: str, root: Path) -> _T:
    """Return what torchvision loads, fetched if it is not there.

    Raises:
        InputError: If it cannot be fetched.
    """
    try:
        return load(False)
    except RuntimeError:  # torchvision's way to say that files are missing
        pass
    try:
        root.mkdir(parents=True, exist_ok=True)
        return load(True)
    except (OSError, RuntimeError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise InputError(
            f"dataset '{name}' is not in '{root}' and cannot be fetched ({reason}); pass --data-dir with "
            "torchvision's folder of it."
        ) from error
