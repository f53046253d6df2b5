"""`imagenet`: folders of ImageNet photographs, numbered as ImageNet models number them."""

from __future__ import annotations

import csv
import re
from pathlib import Path
from typing import Literal

from torch import Tensor
from torchvision.models import ResNet50_Weights

from bcos_eval.errors import InputError

from .image_file import read_image, to_tensor
from .imagenet_boxes import find_boxes
from .listing import class_directories, class_images, listing_digest, require_directory
from .sample import Sample
from .transform import Box, EvaluationTransform

N_CLASSES = 1000

_LAYOUT = "a folder with val/<wnid>/*.JPEG, or that val folder itself"
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
    folders was given. Boxes are optional: see `find_boxes`; several of the image's class are united.

    Args:
        root: The folder that holds `val` (and `train`), or the split's folder itself.
        split: Which images.
        size: Side of the square images; 224 by default.
        resize: Shorter side before the centre crop; by default `size · 256 / 224`.

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
    ) -> None:
        self.transform = EvaluationTransform.for_size(size, resize)
        self._root = _split_folder(require_directory(root, _LAYOUT), split)
        class_dirs = [path for path in class_directories(self._root) if _WNID.fullmatch(path.name)]
        numbers = _class_numbers(self._root, [path.name for path in class_dirs])
        files = {path.name: class_images(path) for path in class_dirs}
        self.class_names = tuple(ResNet50_Weights.DEFAULT.meta["categories"])
        self.sample_ids = tuple(name for names in files.values() for name in names)
        self.labels = tuple(numbers[wnid] for wnid, names in files.items() for _ in names)
        self._sizes = tuple(size for names in files.values() for size in names.values())
        self._boxes = find_boxes([self._root, self._root.parent], split)

    @property
    def has_regions(self) -> bool:
        """Whether boxes were found; single images may still have none."""
        return self._boxes is not None

    def digest(self) -> str:
        """Hex digest of paths, file sizes, labels, the transform and the content of box files; no pixels."""
        samples = list(zip(self.sample_ids, self.labels, self._sizes, strict=True))
        annotations = [] if self._boxes is None else self._boxes.digest_rows()
        return listing_digest({"name": self.name, "transform": self.transform}, [*samples, *annotations])

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
        image = read_image(self._root / sample_id)
        region = self._region(sample_id, image.width, image.height)
        return Sample(sample_id, to_tensor(self.transform.image(image)), self.labels[index], region)

    def _region(self, sample_id: str, width: int, height: int) -> Tensor | None:
        wnid = sample_id.partition("/")[0]
        found = None if self._boxes is None else self._boxes.find(Path(sample_id).stem, wnid)
        if found is None:
            return None
        drawn_on = found.size or (width, height)  # scaled copies of the photographs keep the original boxes
        scale = (width / drawn_on[0], height / drawn_on[1])
        boxes = [_scaled(box, *scale) for box in found.boxes]
        return self.transform.region_of_boxes(boxes, width, height)


def _scaled(box: Box, scale_x: float, scale_y: float) -> Box:
    xmin, ymin, xmax, ymax = box
    # Both ends are inside the box: its edges are min and max + 1.
    return xmin * scale_x, ymin * scale_y, (xmax + 1) * scale_x - 1, (ymax + 1) * scale_y - 1


def _split_folder(root: Path, split: str) -> Path:
    if (root / split).is_dir():
        folder = root / split
    elif root.name in ("train", "val") and root.name != split:
        raise InputError(f"'{root}' is not the split '{split}'; --data-dir must be {_LAYOUT}.")
    else:
        folder = root
    if not any(_WNID.fullmatch(path.name) for path in class_directories(folder)):
        raise InputError(f"'{folder}' has no class folders like n01440764; --data-dir must be {_LAYOUT}.")
    return folder


def _class_numbers(folder: Path, wnids: list[str]) -> dict[str, int]:
    """Class number of every id that has a folder."""
    for directory in (folder, folder.parent):
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
    with path.open(newline="", encoding="utf-8-sig") as file:
        reader = csv.DictReader(file)
        for row in reader:
            number = row.get("imagenet_index") or ""
            if not row.get("wnid") or not number.isdecimal() or int(number) >= N_CLASSES:
                raise InputError(
                    f"'{path}', line {reader.line_num}: expected the columns wnid and imagenet_index (0 to "
                    f"{N_CLASSES - 1}), got wnid '{row.get('wnid')}' and imagenet_index '{number}'; mend or "
                    "remove the file."
                )
            numbers[row["wnid"]] = int(number)
    return numbers


def _numbers_from_synsets(path: Path) -> dict[str, int]:
    wnids = [line.split()[0] for line in path.read_text(encoding="utf-8-sig").splitlines() if line.strip()]
    if len(wnids) != N_CLASSES or wnids != sorted(wnids):
        raise InputError(
            f"'{path}' has {len(wnids)} lines, expected the {N_CLASSES} ImageNet ids in sorted order; restore it "
            "from Kaggle or remove it."
        )
    return {wnid: number for number, wnid in enumerate(wnids)}
