"""`imagenet`: folders of ImageNet photographs, numbered as ImageNet models number them."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Literal

from torchvision.models import ResNet50_Weights

from bcos_eval.errors import InputError

from .boxes import KAGGLE_CSV, boxes_as_shown, imagenet_boxes, kaggle_classes
from .digest import dataset_digest, file_digests
from .image_file import read_photograph, to_tensor
from .listing import class_directories, class_images, image_files, require_directory
from .sample import Sample
from .text_file import read_rows, read_text
from .transform import EvaluationTransform

N_CLASSES = 1000

_LAYOUT = "a folder with val/<wnid>/*.JPEG, or that val folder itself"
# Where Kaggle's archive has its images; its tables lie at the top of it, its XML files in ILSVRC/Annotations.
_KAGGLE_IMAGES = ("ILSVRC", "Data", "CLS-LOC")
_WNID = re.compile(r"n\d{8}")
_INDEX_CSV = "index.csv"
_SYNSETS = "LOC_synset_mapping.txt"
_NUMBERING = (
    f"needs one of: an {_INDEX_CSV} with the columns wnid and imagenet_index, Kaggle's {_SYNSETS}, or all "
    f"{N_CLASSES} class folders"
)


class ImageNetDataset:
    """Photographs in one folder per ImageNet id (wnid); labels are the usual class numbers 0 to 999.

    The class number of an id is its place among all 1000 sorted ids. It comes from `index.csv` (columns `wnid`,
    `imagenet_index`) or Kaggle's `LOC_synset_mapping.txt` beside the folders or one level up, else from the
    folders if there are exactly 1000. Ids of samples are relative paths, `<wnid>/<file>`, whichever of the two
    folders was given. Boxes are optional: see `imagenet_boxes`; several of the image's class are united.

    Kaggle's archive is understood as it is unpacked: its tables and boxes are found from `ILSVRC/Data/CLS-LOC/val`
    too, and validation images that are not sorted into class folders get their class from `LOC_val_solution.csv`.

    Args:
        root: The folder that holds `val` (and `train`), the split's folder itself, or the top of Kaggle's archive.
        split: Which images.
        size: Side of the square images; 224 by default.
        resize: Shorter side before the centre crop; by default `size · 256 / 224`.
        transform: Instead of both, what makes a photograph the square that is shown.

    Raises:
        InputError: If the root has no class folders, one is empty, or ids cannot be numbered.
    """

    name = "imagenet"

    def __init__(
        self,
        root: Path,
        *,
        split: Literal["val", "train"] = "val",
        size: int | None = None,
        resize: int | None = None,
        transform: EvaluationTransform | None = None,
    ) -> None:
        self.transform = transform or EvaluationTransform.for_size(size, resize)
        self._root = _split_folder(require_directory(root, _LAYOUT), split)
        beside = _folders_beside(self._root)
        self._wnids = _wnids_of_images(self._root, beside, split)
        numbers = _class_numbers(self._root, beside, sorted(set(self._wnids.values())))
        self.class_names = tuple(ResNet50_Weights.DEFAULT.meta["categories"])
        self.sample_ids = tuple(self._wnids)
        self.labels = tuple(numbers[wnid] for wnid in self._wnids.values())
        self._boxes = imagenet_boxes(beside, split)

    @property
    def has_regions(self) -> bool:
        """Whether boxes were found; single images may still have none."""
        return self._boxes is not None

    def n_regions(self) -> int:
        """Number of images with a box of their class; box files are read for it."""
        boxes = self._boxes
        if boxes is None:
            return 0
        return sum(boxes.find(sample_id, self._wnids[sample_id]) is not None for sample_id in self.sample_ids)

    def digest(self) -> str:
        """Hex digest of paths, labels, the transform, and the bytes of images and box files."""
        contents = file_digests([self._root / sample_id for sample_id in self.sample_ids])
        samples = list(zip(self.sample_ids, self.labels, contents, strict=True))
        annotations = [] if self._boxes is None else self._boxes.digest_rows()
        return dataset_digest({"name": self.name, "transform": self.transform}, [*samples, *annotations])

    def __len__(self) -> int:
        """Number of samples."""
        return len(self.sample_ids)

    def __getitem__(self, index: int) -> Sample:
        """The sample at a position in dataset order, with its boxes as region where it has some.

        Raises:
            UnreadableImageError: If its file cannot be decoded.
            InputError: If its box file cannot be parsed.
        """
        sample_id = self.sample_ids[index]
        photograph = read_photograph(self._root / sample_id)
        found = None if self._boxes is None else self._boxes.find(sample_id, self._wnids[sample_id])
        region = None
        if found is not None:
            boxes = boxes_as_shown(found, photograph)
            region = self.transform.region_of_boxes(boxes, *photograph.image.size)
        return Sample(sample_id, to_tensor(self.transform.image(photograph.image)), self.labels[index], region)


def _split_folder(root: Path, split: str) -> Path:
    if (kaggles := root.joinpath(*_KAGGLE_IMAGES) / split).is_dir():
        folder = kaggles
    elif (root / split).is_dir():
        folder = root / split
    elif root.name in ("train", "val") and root.name != split:
        raise InputError(f"'{root}' is not the split '{split}'; --data-dir must be {_LAYOUT}.")
    else:
        folder = root
    return folder


def _folders_beside(folder: Path) -> list[Path]:
    """Where tables and boxes may lie: the folder of images, the one above, and those of Kaggle's archive."""
    beside = [folder, folder.parent]
    resolved = folder.resolve()
    if resolved.parts[-len(_KAGGLE_IMAGES) - 1 : -1] == _KAGGLE_IMAGES:
        beside += [resolved.parents[len(_KAGGLE_IMAGES)], resolved.parents[len(_KAGGLE_IMAGES) - 1]]
    return beside


def _wnids_of_images(folder: Path, beside: list[Path], split: str) -> dict[str, str]:
    """Class id of every image, by its path relative to the folder, class by class."""
    class_dirs = [path for path in class_directories(folder) if _WNID.fullmatch(path.name)]
    if class_dirs:
        return {name: path.name for path in class_dirs for name in class_images(path)}
    table = next((path for place in beside if (path := place / KAGGLE_CSV[split]).is_file()), None)
    if table is None:
        raise InputError(f"'{folder}' has no class folders like n01440764; --data-dir must be {_LAYOUT}.")
    classes = kaggle_classes(table)
    found = {name: classes[Path(name).stem] for name in image_files(folder) if Path(name).stem in classes}
    if not found:
        raise InputError(f"'{folder}' has none of the images that '{table}' lists; --data-dir must be {_LAYOUT}.")
    return dict(sorted(found.items(), key=lambda entry: (entry[1], entry[0])))


def _class_numbers(folder: Path, beside: list[Path], wnids: list[str]) -> dict[str, int]:
    """Class number of every id that has images."""
    for directory in beside:
        if (directory / _INDEX_CSV).is_file():
            return _require_all(wnids, _numbers_from_csv(directory / _INDEX_CSV), directory / _INDEX_CSV)
        if (directory / _SYNSETS).is_file():
            return _require_all(wnids, _numbers_from_synsets(directory / _SYNSETS), directory / _SYNSETS)
    if len(wnids) == N_CLASSES:
        return {wnid: number for number, wnid in enumerate(wnids)}
    raise InputError(
        f"'{folder}' has {len(wnids)} class folders, so their ImageNet class numbers are unknown; imagenet "
        f"{_NUMBERING}. For any other tree use --dataset folder."
    )


def _require_all(wnids: list[str], numbers: dict[str, int], source: Path) -> dict[str, int]:
    missing = [wnid for wnid in wnids if wnid not in numbers]
    if missing:
        raise InputError(
            f"'{source}' does not number {len(missing)} of the class folders, the first is '{missing[0]}'; add "
            "it to the file or remove the folder."
        )
    return numbers


def _numbers_from_csv(path: Path) -> dict[str, int]:
    numbers = {}
    for line, row in read_rows(path, "mend or remove the file"):
        wnid, number = row.get("wnid"), row.get("imagenet_index", "")
        if not wnid or not number.isdecimal() or int(number) >= N_CLASSES:
            raise InputError(
                f"'{path}', line {line}: expected the columns wnid and imagenet_index (0 to {N_CLASSES - 1}), got "
                f"wnid '{wnid}' and imagenet_index '{number}'; mend or remove the file."
            )
        numbers[wnid] = int(number)
    return numbers


def _numbers_from_synsets(path: Path) -> dict[str, int]:
    text = read_text(path, "restore it from Kaggle or remove it")
    wnids = [line.split()[0] for line in text.splitlines() if line.strip()]
    if len(wnids) != N_CLASSES or wnids != sorted(wnids):
        raise InputError(
            f"'{path}' has {len(wnids)} lines, expected the {N_CLASSES} ImageNet ids in sorted order; restore it "
            "from Kaggle or remove it."
        )
    return {wnid: number for number, wnid in enumerate(wnids)}
