"""`tiny_imagenet20` and `tiny_imagenet`: classes of Tiny ImageNet with one box per image."""

from __future__ import annotations

from pathlib import Path
from typing import Literal, NamedTuple

import torch
from torch import Tensor

from bcos_eval.errors import InputError, UnreadableImageError

from .digest import dataset_digest, file_digests
from .image_file import read_image, to_tensor
from .listing import image_files, require_directory
from .sample import Sample
from .text_file import read_text

# The class index is the place in this list.
TINY_IMAGENET20_WNIDS = (
    "n02279972",
    "n01443537",
    "n07695742",
    "n02056570",
    "n07753592",
    "n02823428",
    "n01629819",
    "n02165456",
    "n04259630",
    "n02814860",
    "n01910747",
    "n07734744",
    "n02793495",
    "n01774384",
    "n04487081",
    "n03444034",
    "n02410509",
    "n02815834",
    "n07720875",
    "n03662601",
)
IMAGE_SIDE = 64

_LAYOUT = "Tiny ImageNet's folder, with words.txt, train/ and val/"
_RESTORE = "restore the file from the Tiny ImageNet release."
_VAL_FIELDS = ("file", "wnid", "xmin", "ymin", "xmax", "ymax")
_TRAIN_FIELDS = ("file", "xmin", "ymin", "xmax", "ymax")


class _Entry(NamedTuple):
    """One annotated image: path relative to the root, class index, inclusive pixel box."""

    path: str
    label: int
    box: tuple[int, int, int, int]


class TinyImageNet:
    """All classes of a folder in the layout of the Tiny ImageNet release, whichever they are.

    The classes are those of `wnids.txt`, in its order. Images are 64 × 64 and stay so. The validation split
    follows `val/val_annotations.txt`, the training split the box lists of the classes. Boxes are inclusive pixel
    indices. Ids are file names, for example `val_17.JPEG`.

    Args:
        root: The release's folder.
        split: Which images.

    Raises:
        InputError: If a file is missing or a line cannot be parsed; the message names both.
    """

    name = "tiny_imagenet"
    has_regions = True

    def __init__(self, root: Path, *, split: Literal["val", "train"] = "val") -> None:
        self._root = require_directory(root, _LAYOUT)
        self._words = root / "words.txt"
        self.wnids = self._wnids()
        self.class_names = _class_names(self._words, self.wnids)
        self._annotations = _annotation_files(root, split, self.wnids)
        read = self._val_entries if split == "val" else self._train_entries
        self._entries = tuple(entry for path in self._annotations for entry in read(path))
        _require_images(root, self._entries)
        self.sample_ids = tuple(Path(entry.path).name for entry in self._entries)
        self.labels = tuple(entry.label for entry in self._entries)

    def digest(self) -> str:
        """Hex digest of paths, labels, and the bytes of images, words and box lists."""
        contents = file_digests([self._root / entry.path for entry in self._entries])
        samples = [(*entry, content) for entry, content in zip(self._entries, contents, strict=True)]
        lists = (self._words, *self._annotations)
        annotations = zip((path.name for path in lists), file_digests(lists), strict=True)
        return dataset_digest({"name": self.name}, [*samples, *annotations])

    def __len__(self) -> int:
        """Number of samples."""
        return len(self._entries)

    def __getitem__(self, index: int) -> Sample:
        """The sample at a position in dataset order, with its box as region.

        Raises:
            UnreadableImageError: If its file cannot be decoded or is not 64 × 64.
        """
        entry = self._entries[index]
        path = self._root / entry.path
        image = read_image(path)
        if image.size != (IMAGE_SIDE, IMAGE_SIDE):
            raise UnreadableImageError(
                f"cannot read image '{path}': it has {image.width}×{image.height} pixels, Tiny ImageNet's "
                f"images have {IMAGE_SIDE}×{IMAGE_SIDE}; {_RESTORE}"
            )
        return Sample(self.sample_ids[index], to_tensor(image), entry.label, _region(entry.box))

    def _wnids(self) -> tuple[str, ...]:
        """Ids of the classes, by class index."""
        path = self._root / "wnids.txt"
        wnids = tuple(line.strip() for _, line in _lines(path))
        if not wnids or len(set(wnids)) < len(wnids):
            raise InputError(f"'{path}' lists no class, or one of them twice; give every class id one line.")
        return wnids

    def _val_entries(self, path: Path) -> list[_Entry]:
        labels = {wnid: label for label, wnid in enumerate(self.wnids)}
        entries = []
        for number, line in _lines(path):
            fields = line.split("\t")
            if len(fields) != len(_VAL_FIELDS):
                raise _bad_line(path, number, line, _VAL_FIELDS)
            if fields[1] in labels:  # the full release lists 200 classes
                box = _box(path, number, line, fields[2:], _VAL_FIELDS)
                entries.append(_Entry(f"val/images/{fields[0]}", labels[fields[1]], box))
        if not entries:
            raise InputError(
                f"'{path}' lists no image of the {len(labels)} classes of {self.name}; {_RESTORE}"
                f"{self._other_classes}"
            )
        return entries

    def _train_entries(self, path: Path) -> list[_Entry]:
        wnid = path.parent.name
        label = self.wnids.index(wnid)
        entries = []
        for number, line in _lines(path):
            fields = line.split("\t")
            if len(fields) != len(_TRAIN_FIELDS):
                raise _bad_line(path, number, line, _TRAIN_FIELDS)
            box = _box(path, number, line, fields[1:], _TRAIN_FIELDS)
            entries.append(_Entry(f"train/{wnid}/images/{fields[0]}", label, box))
        if not entries:
            raise InputError(f"'{path}' lists no image; {_RESTORE}")
        return entries

    _other_classes = ""


class TinyImageNet20(TinyImageNet):
    """Twenty of the release's classes, from the complete release or from a folder with these classes alone.

    The class index is the place in `TINY_IMAGENET20_WNIDS`.
    """

    name = "tiny_imagenet20"
    _other_classes = " For other classes use --dataset tiny_imagenet."

    def _wnids(self) -> tuple[str, ...]:
        return TINY_IMAGENET20_WNIDS


def _region(box: tuple[int, int, int, int]) -> Tensor:
    xmin, ymin, xmax, ymax = box
    region = torch.zeros(IMAGE_SIDE, IMAGE_SIDE, dtype=torch.bool)
    region[ymin : ymax + 1, xmin : xmax + 1] = True
    return region


def _lines(path: Path) -> list[tuple[int, str]]:
    """Numbered lines of a list file, without empty ones."""
    if not path.exists():
        raise InputError(f"there is no file '{path}'; --data-dir must be {_LAYOUT}.")
    text = read_text(path, _RESTORE.removesuffix("."))
    return [(number, line) for number, line in enumerate(text.splitlines(), start=1) if line.strip()]


def _class_names(words: Path, wnids: tuple[str, ...]) -> tuple[str, ...]:
    """First name of each class in `words.txt`."""
    names: dict[str, str] = {}
    for number, line in _lines(words):
        wnid, tab, synonyms = line.partition("\t")
        if not tab:
            raise _bad_line(words, number, line, ("wnid", "names"))
        names[wnid] = synonyms.split(",")[0].strip()
    missing = [wnid for wnid in wnids if wnid not in names]
    if missing:
        raise InputError(f"'{words}' has no line for {', '.join(missing)}; {_RESTORE}")
    return tuple(names[wnid] for wnid in wnids)


def _annotation_files(root: Path, split: str, wnids: tuple[str, ...]) -> tuple[Path, ...]:
    if split == "val":
        return (root / "val" / "val_annotations.txt",)
    return tuple(root / "train" / wnid / f"{wnid}_boxes.txt" for wnid in wnids)


def _box(
    path: Path, number: int, line: str, fields: list[str], expected: tuple[str, ...]
) -> tuple[int, int, int, int]:
    try:
        xmin, ymin, xmax, ymax = (int(field) for field in fields)
    except ValueError as error:
        raise _bad_line(path, number, line, expected) from error
    if not (0 <= xmin <= xmax < IMAGE_SIDE and 0 <= ymin <= ymax < IMAGE_SIDE):
        raise InputError(
            f"'{path}', line {number}: box {xmin}, {ymin}, {xmax}, {ymax} is not inside 0 to "
            f"{IMAGE_SIDE - 1} with min ≤ max; {_RESTORE}"
        )
    return xmin, ymin, xmax, ymax


def _bad_line(path: Path, number: int, line: str, expected: tuple[str, ...]) -> InputError:
    wanted = ", ".join(expected)
    return InputError(f"'{path}', line {number}: expected {wanted} separated by tabs, got '{line}'; {_RESTORE}")


def _require_images(root: Path, entries: tuple[_Entry, ...]) -> None:
    folders = {Path(entry.path).parent.as_posix() for entry in entries}
    there = {
        f"{folder}/{name}" for folder in folders if (root / folder).is_dir() for name in image_files(root / folder)
    }
    missing = [entry.path for entry in entries if entry.path not in there]
    if missing:
        raise InputError(
            f"'{root}' lacks {len(missing)} of the {len(entries)} images in its lists, the first is "
            f"'{missing[0]}'; restore it from the Tiny ImageNet release."
        )
