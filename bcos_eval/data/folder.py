"""`folder`: any tree of one folder per class."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from bcos_eval.errors import InputError

from .image_file import read_image, to_tensor
from .listing import class_directories, class_images, listing_digest, require_directory
from .sample import Sample
from .transform import EvaluationTransform

_SPLITS = frozenset({"train", "val", "test"})
_LAYOUT = "a folder with one folder of images per class"


class FolderDataset:
    """Images of a `class/image` tree; the class index is the place of its folder in sorted order.

    A root that holds nothing but `train`, `val` or `test` folders is entered at the split asked for; any other
    root is the dataset, whatever the split. Images may lie deeper than one level; hidden files, hidden folders
    and files that are not images by extension are ignored. There are no regions.

    Args:
        root: The tree.
        split: Which split to enter where there are splits.
        size: Side of the square images; 224 by default.
        resize: Shorter side before the centre crop; by default `size · 256 / 224`.

    Raises:
        InputError: If the root is not a directory, has no class folder, or a class folder is empty.
    """

    name = "folder"
    has_regions = False

    def __init__(
        self,
        root: Path,
        *,
        split: Literal["val", "train"] = "val",
        size: int | None = None,
        resize: int | None = None,
    ) -> None:
        self.transform = EvaluationTransform.for_size(size, resize)
        self._root = _enter_split(require_directory(root, _LAYOUT), split)
        class_dirs = class_directories(self._root)
        if not class_dirs:
            raise InputError(f"'{self._root}' has no class folders; --data-dir must be {_LAYOUT}.")
        files = [class_images(class_dir) for class_dir in class_dirs]
        self.class_names = tuple(class_dir.name for class_dir in class_dirs)
        self.sample_ids = tuple(name for names in files for name in names)
        self.labels = tuple(label for label, names in enumerate(files) for _ in names)
        self._sizes = tuple(size for names in files for size in names.values())

    def digest(self) -> str:
        """Hex digest of relative paths, file sizes, labels and the transform; pixels are not read."""
        settings = {"name": self.name, "transform": self.transform}
        return listing_digest(settings, zip(self.sample_ids, self.labels, self._sizes, strict=True))

    def __len__(self) -> int:
        """Number of samples."""
        return len(self.sample_ids)

    def __getitem__(self, index: int) -> Sample:
        """The sample at a position in dataset order.

        Raises:
            UnreadableImageError: If its file cannot be decoded.
        """
        image = self.transform.image(read_image(self._root / self.sample_ids[index]))
        return Sample(self.sample_ids[index], to_tensor(image), self.labels[index])


def _enter_split(root: Path, split: str) -> Path:
    names = {path.name for path in class_directories(root)}
    if not names or not names <= _SPLITS:
        return root
    if split not in names:
        found = ", ".join(sorted(names))
        raise InputError(f"'{root}' has no folder '{split}', only {found}; ask for one of these splits.")
    return root / split
