"""`tiny_imagenet20`: twenty classes of Tiny ImageNet with one box per image."""

from __future__ import annotations

from pathlib import Path
from typing import Literal, NamedTuple

import torch
from torch import Tensor

from bcos_eval.errors import InputError, UnreadableImageError

from .image_file import read_image, to_tensor
from .listing import file_digest, image_files, listing_digest, require_directory
from .sample import Sample

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

_LABELS = {wnid: label for label, wnid in enumerate(TINY_IMAGENET20_WNIDS)}
_LAYOUT = "Tiny ImageNet's folder, with words.txt, train/ and val/"
_RESTORE = "restore the file from the Tiny ImageNet release."
_VAL_FIELDS = ("file", "wnid", "xmin", "ymin", "xmax", "ymax")
_TRAIN_FIELDS = ("file", "xmin", "ymin", "xmax", "ymax")


class _Entry(NamedTuple):
    """One annotated image: path relative to the root, class index, inclusive pixel box."""

    path: str
    label: int
    box: tuple[int, int, int, int]


class TinyImageNet20:
    """Twenty classes from a folder in the layout of the Tiny ImageNet release, complete or only these classes.

    Images are 64 × 64 and stay so. The validation split follows `val/val_annotations.txt`, the training split
    the box lists of the classes in the order of `TINY_IMAGENET20_WNIDS`. Boxes are inclusive pixel indices.
    Ids are file names, for example `val_17.JPEG`.

    Args:
        root: The release's folder.
        split: Which images.

    Raises:
        InputError: If a file is missing or a line cannot be parsed; the message names both.
    """

    name = "tiny_imagenet20"
    has_regions = True

    def __init__(self, root: Path, *, split: Literal["val", "train"] = "val") -> None:
        self._root = require_directory(root, _LAYOUT)
        self._words = root / "words.txt"
        self.class_names = _class_names(self._words)
        self._annotations = _annotation_files(root, split)
        read = _val_entries if split == "val" else _train_entries
        self._entries = tuple(entry for path in self._annotations for entry in read(root, path))
        self._sizes = _file_sizes(root, self._entries)
        self.sample_ids = tuple(Path(entry.path).name for entry in self._entries)
        self.labels = tuple(entry.label for entry in self._entries)

    def digest(self) -> str:
        """Hex digest of paths, file sizes, labels and the content of words and box lists; no pixels."""
        samples = [(*entry, size) for entry, size in zip(self._entries, self._sizes, strict=True)]
        annotations = [(path.name, file_digest(path)) for path in (self._words, *self._annotations)]
        return listing_digest({"name": self.name}, [*samples, *annotations])

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


def _region(box: tuple[int, int, int, int]) -> Tensor:
    xmin, ymin, xmax, ymax = box
    region = torch.zeros(IMAGE_SIDE, IMAGE_SIDE, dtype=torch.bool)
    region[ymin : ymax + 1, xmin : xmax + 1] = True
    return region


def _lines(path: Path) -> list[tuple[int, str]]:
    """Numbered lines of a list file, without empty ones."""
    try:
        text = path.read_text(encoding="utf-8-sig")
    except FileNotFoundError as error:
        raise InputError(f"there is no file '{path}'; --data-dir must be {_LAYOUT}.") from error
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"cannot read '{path}' ({error}); {_RESTORE}") from error
    return [(number, line) for number, line in enumerate(text.splitlines(), start=1) if line.strip()]


def _class_names(words: Path) -> tuple[str, ...]:
    """First name of each class in `words.txt`."""
    names: dict[str, str] = {}
    for number, line in _lines(words):
        wnid, tab, synonyms = line.partition("\t")
        if not tab:
            raise _bad_line(words, number, line, ("wnid", "names"))
        names[wnid] = synonyms.split(",")[0].strip()
    missing = [wnid for wnid in TINY_IMAGENET20_WNIDS if wnid not in names]
    if missing:
        raise InputError(f"'{words}' has no line for {', '.join(missing)}; {_RESTORE}")
    return tuple(names[wnid] for wnid in TINY_IMAGENET20_WNIDS)


def _annotation_files(root: Path, split: str) -> tuple[Path, ...]:
    if split == "val":
        return (root / "val" / "val_annotations.txt",)
    return tuple(root / "train" / wnid / f"{wnid}_boxes.txt" for wnid in TINY_IMAGENET20_WNIDS)


def _val_entries(root: Path, path: Path) -> list[_Entry]:
    entries = []
    for number, line in _lines(path):
        fields = line.split("\t")
        if len(fields) != len(_VAL_FIELDS):
            raise _bad_line(path, number, line, _VAL_FIELDS)
        if fields[1] in _LABELS:  # the full release lists 200 classes
            box = _box(path, number, line, fields[2:], _VAL_FIELDS)
            entries.append(_Entry(f"val/images/{fields[0]}", _LABELS[fields[1]], box))
    if not entries:
        raise InputError(f"'{path}' lists no image of the 20 classes of tiny_imagenet20; {_RESTORE}")
    return entries


def _train_entries(root: Path, path: Path) -> list[_Entry]:
    wnid = path.parent.name
    entries = []
    for number, line in _lines(path):
        fields = line.split("\t")
        if len(fields) != len(_TRAIN_FIELDS):
            raise _bad_line(path, number, line, _TRAIN_FIELDS)
        box = _box(path, number, line, fields[1:], _TRAIN_FIELDS)
        entries.append(_Entry(f"train/{wnid}/images/{fields[0]}", _LABELS[wnid], box))
    if not entries:
        raise InputError(f"'{path}' lists no image; {_RESTORE}")
    return entries


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


def _file_sizes(root: Path, entries: tuple[_Entry, ...]) -> tuple[int, ...]:
    folders = {Path(entry.path).parent.as_posix() for entry in entries}
    sizes = {f"{folder}/{name}": size for folder in folders for name, size in image_files(root / folder).items()}
    missing = [entry.path for entry in entries if entry.path not in sizes]
    if missing:
        raise InputError(
            f"'{root}' lacks {len(missing)} of the {len(entries)} images in its lists, the first is "
            f"'{missing[0]}'; restore it from the Tiny ImageNet release."
        )
    return tuple(sizes[entry.path] for entry in entries)
