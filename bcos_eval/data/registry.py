"""Datasets by name."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from bcos_eval.errors import InputError, unknown_name

from .sample import Dataset

if TYPE_CHECKING:
    from .transform import EvaluationTransform

DATA_VARIABLE = "BCOS_EVAL_DATA"
_BESIDE_CLASSES = (
    "masks/<class>/<name>.png, boxes.csv, annotations.json (COCO) or Annotations/*.xml (VOC) beside the class "
    "folders"
)
_IMAGENET_TERMS = "non-commercial research and education only (ImageNet's terms for the training images)"

Split = Literal["val", "train"]
SPLITS: tuple[Split, ...] = ("val", "train")


@dataclass(frozen=True, slots=True)
class DatasetOptions:
    """What a caller may choose beside name, place and split.

    Attributes:
        transform: What makes a photograph of any size the square that is shown (imagenet, imagenette, folder),
            usually `EvaluationTransform.for_network`. Datasets with a size of their own (shapes, shapes_trigger,
            tiny_imagenet20) keep it.
        seed: Seed of generated data (shapes, shapes_trigger).
        n_images: Number of generated images; None is the dataset's own.
    """

    transform: EvaluationTransform
    seed: int
    n_images: int | None = None


@dataclass(frozen=True, slots=True)
class DatasetInfo:
    """A dataset that can be asked for by name.

    Attributes:
        name: As in `--dataset` and in the tables.
        summary: One line for people.
        folders: Names of its folder under `$BCOS_EVAL_DATA`, in order of preference; empty if it is embedded.
        needs: What its directory holds; empty if it is embedded.
        regions: Where the objects' places come from, in words; empty if the dataset always knows them or never.
        fetched: Whether torchvision fetches it where it is missing.
        licence: What weights trained on it may be used for, as far as its images decide; empty where that is for
            the user to judge.
    """

    name: str
    summary: str
    folders: tuple[str, ...] = ()
    needs: str = ""
    regions: str = ""
    fetched: bool = False
    licence: str = ""

    @property
    def embedded(self) -> bool:
        """Whether the data are generated, without files."""
        return not self.folders


Loader = Callable[[Path, Split, DatasetOptions], Dataset]

DATASETS: dict[str, DatasetInfo] = {}
_LOADERS: dict[str, Loader] = {}


def register_dataset(info: DatasetInfo) -> Callable[[Loader], Loader]:
    """Return a decorator that enters a loader under the name of its dataset and returns it unchanged.

    Raises:
        ValueError: If the name is taken.
    """

    def decorate(loader: Loader) -> Loader:
        if info.name in DATASETS:
            raise ValueError(f"dataset '{info.name}' is registered twice; choose another name.")
        DATASETS[info.name] = info
        _LOADERS[info.name] = loader
        return loader

    return decorate


def load_dataset(
    name: str,
    data_dir: Path | None = None,
    split: Split = "val",
    *,
    size: int | None = None,
    resize: int | None = None,
    transform: EvaluationTransform | None = None,
    seed: int = 0,
    n_images: int | None = None,
) -> Dataset:
    """A dataset by its registered name.

    Args:
        name: One of `DATASETS`.
        data_dir: Where its files lie, or the folder that has them under one of the dataset's usual names; by
            default `$BCOS_EVAL_DATA`. Embedded data need none.
        split: "val" or "train".
        size: Side of the square images where photographs have any size; None is 224.
        resize: Shorter side before the centre crop; None is `size · 256 / 224`.
        transform: Instead of both; see `DatasetOptions`.
        seed: See `DatasetOptions`.
        n_images: See `DatasetOptions`.

    Returns:
        The dataset; labels and ids are known, images are decoded one by one when asked for.

    Raises:
        InputError: If the name or split is unknown, or the files are missing or not laid out as they should; if a
            number of images is asked of a dataset that has its own.
    """
    if name not in DATASETS:
        raise unknown_name("dataset", name, DATASETS)
    if split not in SPLITS:
        raise unknown_name("split", split, SPLITS)
    directory = _directory(DATASETS[name], data_dir)
    if n_images is not None and not DATASETS[name].embedded:
        raise InputError(f"dataset '{name}' has the images that its files hold; a number is for generated ones.")
    if transform is None:
        from .transform import EvaluationTransform

        transform = EvaluationTransform.for_size(size, resize)
    return _LOADERS[name](directory, split, DatasetOptions(transform, seed, n_images))


def usual_folder(info: DatasetInfo, root: Path) -> Path | None:
    """Return the folder in `root` that is called as a dataset's folder usually is, if there is one."""
    return next((root / folder for folder in info.folders if (root / folder).is_dir()), None)


def _directory(info: DatasetInfo, data_dir: Path | None) -> Path:
    if info.embedded:
        if data_dir is not None:
            raise InputError(f"dataset '{info.name}' is generated and reads no files; leave --data-dir out.")
        return Path()
    if data_dir is not None:
        return usual_folder(info, Path(data_dir)) or Path(data_dir)
    root = os.environ.get(DATA_VARIABLE)
    found = usual_folder(info, Path(root)) if root else None
    if found is not None:
        return found
    if info.fetched and root:
        return Path(root) / info.folders[0]
    where = f"${DATA_VARIABLE}/{info.folders[0]} does not exist" if root else f"${DATA_VARIABLE} is not set"
    raise InputError(f"dataset '{info.name}' needs its files, and {where}; pass --data-dir: {info.needs}.")


# Loaders import their modules when called: listing datasets must not load decoders or torchvision.
@register_dataset(
    DatasetInfo(
        "shapes",
        "embedded: generated 64×64 scenes with one object and its exact mask",
        licence="Apache-2.0 (generated images)",
    )
)
def _shapes(_: Path, split: Split, options: DatasetOptions) -> Dataset:
    from .shapes.dataset import ShapesDataset

    return ShapesDataset(split=split, size=options.n_images, seed=options.seed)


@register_dataset(
    DatasetInfo(
        "shapes_trigger",
        "embedded: scenes of shapes with a patch that alone decides one class, so that the true region is known",
        licence="Apache-2.0 (generated images)",
    )
)
def _shapes_trigger(_: Path, split: Split, options: DatasetOptions) -> Dataset:
    from .shapes.trigger import ShapesTriggerDataset

    return ShapesTriggerDataset(split=split, size=options.n_images, seed=options.seed)


@register_dataset(
    DatasetInfo(
        "tiny_imagenet20",
        "20 classes of Tiny ImageNet, 64×64 photographs, one box each",
        folders=("tiny_imagenet20", "tiny-imagenet"),
        needs="Tiny ImageNet's folder, with words.txt, train/ and val/",
        licence=_IMAGENET_TERMS,
    )
)
def _tiny_imagenet20(directory: Path, split: Split, _: DatasetOptions) -> Dataset:
    from .tiny_imagenet import TinyImageNet20

    return TinyImageNet20(directory, split=split)


@register_dataset(
    DatasetInfo(
        "tiny_imagenet",
        "all classes of a folder in Tiny ImageNet's layout (wnids.txt), 64×64 photographs, one box each",
        folders=("tiny_imagenet", "tiny-imagenet-200", "tiny-imagenet"),
        needs="Tiny ImageNet's folder, with wnids.txt, words.txt, train/ and val/",
        licence=_IMAGENET_TERMS,
    )
)
def _tiny_imagenet(directory: Path, split: Split, _: DatasetOptions) -> Dataset:
    from .tiny_imagenet import TinyImageNet

    return TinyImageNet(directory, split=split)


@register_dataset(
    DatasetInfo(
        "imagenet",
        "ImageNet photographs (validation folder); boxes where given",
        folders=("imagenet", "imagenet-samples", "imagenet-val"),
        needs="a folder with val/<wnid>/*.JPEG, or that val folder itself, or the top of Kaggle's archive",
        regions="LOC_val_solution.csv, or ILSVRC's XML files below bbox/ or Annotations/, beside val/ or where "
        "Kaggle's archive has them",
        licence=_IMAGENET_TERMS,
    )
)
def _imagenet(directory: Path, split: Split, options: DatasetOptions) -> Dataset:
    from .imagenet import ImageNetDataset

    return ImageNetDataset(directory, split=split, transform=options.transform)


@register_dataset(
    DatasetInfo(
        "imagenette",
        "ten ImageNet classes (Imagenette's layout), photographs; masks or boxes where given",
        folders=("imagenette", "imagenette2", "imagenette2-320", "imagenette2-160"),
        needs="a folder with train/<wnid>/ and val/<wnid>/ of photographs",
        regions=_BESIDE_CLASSES,
        licence=_IMAGENET_TERMS,
    )
)
def _imagenette(directory: Path, split: Split, options: DatasetOptions) -> Dataset:
    from .imagenette import ImagenetteDataset

    return ImagenetteDataset(directory, split=split, transform=options.transform)


@register_dataset(
    DatasetInfo(
        "cifar10",
        "CIFAR-10, 32×32 photographs, fetched by torchvision; no regions",
        folders=("cifar10", "cifar-10"),
        needs="torchvision's folder of CIFAR-10, with cifar-10-batches-py/",
        fetched=True,
    )
)
def _cifar10(directory: Path, split: Split, _: DatasetOptions) -> Dataset:
    from .torchvision_sets import Cifar10

    return Cifar10(directory, split=split)


@register_dataset(
    DatasetInfo(
        "voc2007",
        "PASCAL VOC 2007, photographs with boxes, one sample per class in a photograph, fetched by torchvision",
        folders=("voc2007", "VOC2007"),
        needs="torchvision's folder of PASCAL VOC 2007, with VOCdevkit/VOC2007/",
        fetched=True,
    )
)
def _voc2007(directory: Path, split: Split, options: DatasetOptions) -> Dataset:
    from .torchvision_sets import Voc2007

    return Voc2007(directory, split=split, transform=options.transform)


@register_dataset(
    DatasetInfo(
        "folder",
        "any folder with one folder of images per class; masks or boxes where given",
        folders=("folder",),
        needs="a folder with one folder of images per class",
        regions=_BESIDE_CLASSES,
    )
)
def _folder(directory: Path, split: Split, options: DatasetOptions) -> Dataset:
    from .folder import FolderDataset

    return FolderDataset(directory, split=split, transform=options.transform)


@register_dataset(
    DatasetInfo(
        "photos",
        "pictures without labels: what is explained is the network's prediction; no regions",
        folders=("photos",),
        needs="a folder of pictures",
    )
)
def _photos(directory: Path, _: Split, options: DatasetOptions) -> Dataset:
    from .photos import PhotosDataset

    return PhotosDataset(directory, transform=options.transform)
