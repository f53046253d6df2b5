"""`folder`: any tree of one folder per class, with masks or boxes of the objects beside it or without."""

from __future__ import annotations

from pathlib import Path, PurePosixPath
from typing import Literal

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from bcos_eval.errors import InputError, UnreadableImageError

from .boxes import boxes_as_shown, folder_boxes
from .digest import dataset_digest, file_digests
from .image_file import Photograph, read_photograph, to_tensor, turned_upright
from .listing import class_directories, class_images, image_files, require_directory
from .sample import Sample
from .transform import EvaluationTransform

MASKS = "masks"
ANNOTATIONS = "Annotations"
_SPLITS = frozenset({"train", "val", "test"})
_LAYOUT = "a folder with one folder of images per class"


class FolderDataset:
    """Images of a `class/image` tree; the class index is the place of its folder in sorted order.

    A root that holds nothing but `train`, `val` or `test` folders is entered at the split asked for; any other
    root is the dataset, whatever the split. Images may lie deeper than one level, links are followed; hidden
    files, system folders and files that are not images by extension are ignored.

    Where the objects are may be told by files in the folder of the classes, or in the one above a split's:
    pictures `masks/<class>/<name>.png` whose object is not black, else the boxes that `folder_boxes` describes;
    several of the image's class are united.

    Args:
        root: The tree.
        split: Which split to enter where there are splits.
        size: Side of the square images; 224 by default.
        resize: Shorter side before the centre crop; by default `size · 256 / 224`.
        transform: Instead of both, what makes a photograph the square that is shown.

    Raises:
        InputError: If the root is not a directory, has no class folder, or a class folder is empty.
    """

    name = "folder"

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
        self._root = _enter_split(require_directory(root, _LAYOUT), split)
        places = [self._root] if self._root == root else [self._root, root]
        self._masks = _mask_files([place / MASKS for place in places], split)
        self._boxes = None if self._masks else folder_boxes(places)
        class_dirs = [path for path in class_directories(self._root) if path.name not in self._beside_classes()]
        if not class_dirs:
            raise InputError(
                f"'{self._root}' has no class folders; --data-dir must be {_LAYOUT}. Pictures without labels are "
                "--dataset photos."
            )
        files = [class_images(class_dir) for class_dir in class_dirs]
        self.class_names = tuple(class_dir.name for class_dir in class_dirs)
        # The names by which masks and boxes know the classes.
        self._folders = self.class_names
        self.sample_ids = tuple(name for names in files for name in names)
        self.labels = tuple(label for label, names in enumerate(files) for _ in names)

    @property
    def has_regions(self) -> bool:
        """Whether masks or boxes were found; single images may still have none."""
        return bool(self._masks) or self._boxes is not None

    def n_regions(self) -> int:
        """Number of images of whose object a mask or box is known; box files are read for it."""
        return sum(map(self._is_located, self.sample_ids, self.labels))

    def digest(self) -> str:
        """Hex digest of relative paths, labels, the transform, and the bytes of images, masks and box files."""
        contents = file_digests([self._root / sample_id for sample_id in self.sample_ids])
        samples = list(zip(self.sample_ids, self.labels, contents, strict=True))
        masks = list(zip(self._masks, file_digests(list(self._masks.values())), strict=True))
        boxes = [] if self._boxes is None else self._boxes.digest_rows()
        return dataset_digest({"name": self.name, "transform": self.transform}, [*samples, *masks, *boxes])

    def __len__(self) -> int:
        """Number of samples."""
        return len(self.sample_ids)

    def __getitem__(self, index: int) -> Sample:
        """The sample at a position in dataset order, with its mask or boxes as region where it has some.

        Raises:
            UnreadableImageError: If its file or its mask cannot be decoded.
            InputError: If its box file cannot be parsed.
        """
        sample_id, label = self.sample_ids[index], self.labels[index]
        photograph = read_photograph(self._root / sample_id)
        region = self._region(sample_id, self._folders[label], photograph)
        return Sample(sample_id, to_tensor(self.transform.image(photograph.image)), label, region)

    def _beside_classes(self) -> set[str]:
        """Folders that hold what is known about the images, and are no classes."""
        return ({MASKS} if self._masks else set()) | (set() if self._boxes is None else {ANNOTATIONS})

    def _is_located(self, sample_id: str, label: int) -> bool:
        if PurePosixPath(sample_id).with_suffix("").as_posix() in self._masks:
            return True
        return self._boxes is not None and self._boxes.find(sample_id, self._folders[label]) is not None

    def _region(self, sample_id: str, class_name: str, photograph: Photograph) -> Tensor | None:
        if (mask := self._masks.get(PurePosixPath(sample_id).with_suffix("").as_posix())) is not None:
            return self.transform.region(_read_mask(mask, photograph))
        found = None if self._boxes is None else self._boxes.find(sample_id, class_name)
        if found is None:
            return None
        return self.transform.region_of_boxes(boxes_as_shown(found, photograph), *photograph.image.size)


def _enter_split(root: Path, split: str) -> Path:
    names = {path.name for path in class_directories(root)} - {MASKS, ANNOTATIONS}
    if not names or not names <= _SPLITS:
        return root
    if split not in names:
        found = ", ".join(sorted(names))
        raise InputError(f"'{root}' has no folder '{split}', only {found}; ask for one of these splits.")
    return root / split


def _mask_files(folders: list[Path], split: str) -> dict[str, Path]:
    """Mask files by the path of their image without its suffix."""
    for folder in folders:
        here = folder / split if (folder / split).is_dir() else folder
        # A class may be called "masks": then its folder holds pictures and no folders of other classes.
        if here.is_dir() and class_directories(here):
            return {PurePosixPath(name).with_suffix("").as_posix(): here / name for name in image_files(here)}
    return {}


def _read_mask(path: Path, photograph: Photograph) -> Tensor:
    """Return where a mask is not black, in the pixels of the upright photograph, `(H, W)` bool."""
    try:
        with Image.open(path) as image:
            values = np.asarray(image)
    except (OSError, SyntaxError, ValueError) as error:
        raise UnreadableImageError(f"cannot read mask '{path}' ({error}); replace or remove it.") from error
    inside = Image.fromarray(values > 0 if values.ndim == 2 else (values[..., :3] > 0).any(axis=-1))
    # Drawn on the stored pixels, as boxes are, unless only the upright picture has its shape.
    if inside.size == photograph.stored_size:
        inside = turned_upright(inside, photograph.orientation)
    if inside.size != photograph.image.size:
        raise UnreadableImageError(
            f"mask '{path}' has {inside.width}×{inside.height} pixels and its image "
            f"{photograph.image.width}×{photograph.image.height}; make them equal."
        )
    return torch.from_numpy(np.array(inside))
