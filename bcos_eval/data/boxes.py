"""Object boxes from the files that come with photographs, and where they lie in the picture that is shown.

Whatever their source, boxes are `(xmin, ymin, xmax, ymax)` in pixels from 0, both ends inside the box.
"""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple, Protocol
from xml.etree import ElementTree

from bcos_eval.errors import InputError

from .digest import file_digests
from .image_file import UPRIGHT, Photograph
from .text_file import read_rows, read_text
from .transform import Box

KAGGLE_CSV = {"val": "LOC_val_solution.csv", "train": "LOC_train_solution.csv"}
XML_FOLDERS = ("bbox", "Annotations")
TABLE = "boxes.csv"
COCO_FILES = ("annotations.json", "_annotations.coco.json", "coco.json")

_BOX_TAGS = ("xmin", "ymin", "xmax", "ymax")
_TABLE_COLUMNS = ("file", "class", *_BOX_TAGS)
_FIELDS_PER_BOX = 1 + len(_BOX_TAGS)
_FROM_KAGGLE = "restore the file from Kaggle or remove it to go without boxes"
_MEND = "mend it or remove it to go without boxes"


class Boxes(NamedTuple):
    """Boxes of one image.

    Attributes:
        boxes: Boxes of the objects of the image's class.
        size: Width and height of the image they were drawn on; None where the source does not say.
    """

    boxes: tuple[Box, ...]
    size: tuple[int, int] | None = None


class BoxSource(Protocol):
    """Where boxes of images come from."""

    def find(self, sample_id: str, class_name: str) -> Boxes | None:
        """Boxes of the objects of this class in the image with this id, or None."""
        ...

    def digest_rows(self) -> list[tuple[str, str]]:
        """Name and content digest of every annotation file."""
        ...


def imagenet_boxes(folders: Sequence[Path], split: str) -> BoxSource | None:
    """The boxes that lie in one of the folders, or None.

    Looked for in this order in each folder: Kaggle's `LOC_val_solution.csv`, then XML files anywhere below
    `bbox/` or `Annotations/`, found by the image's name.
    """
    for folder in folders:
        table = folder / KAGGLE_CSV[split]
        if table.is_file():
            return _KaggleTable(table)
        for name in XML_FOLDERS:
            if (folder / name).is_dir():
                return _XmlFiles(folder / name, first_pixel=0)
    return None


def folder_boxes(folders: Sequence[Path]) -> BoxSource | None:
    """The boxes that lie in one of the folders, or None.

    Looked for in this order in each folder: `boxes.csv` with the columns file, class, xmin, ymin, xmax, ymax;
    COCO's JSON under one of the names `COCO_FILES`; PASCAL VOC's XML files below `Annotations/`. In XML files the
    first pixel is number 1, as VOC has it, and objects marked `difficult` are left out.
    """
    for folder in folders:
        if (folder / TABLE).is_file():
            return _table(folder / TABLE)
        for name in COCO_FILES:
            if (folder / name).is_file():
                return _coco(folder / name)
        if (folder / "Annotations").is_dir():
            return _XmlFiles(folder / "Annotations", first_pixel=1)
    return None


def boxes_as_shown(found: Boxes, photograph: Photograph) -> list[Box]:
    """Return boxes in the pixels of the upright photograph.

    Annotations count the pixels as they are stored, before the EXIF orientation is applied, unless the size that
    they state is that of the upright picture (portrait against landscape). Scaled copies of photographs keep the
    original
    boxes: the stated size tells by how much.
    """
    upright, stored = photograph.image.size, photograph.stored_size
    drawn_on = found.size or stored
    drawn_upright = upright != stored and (drawn_on[0] > drawn_on[1]) == (upright[0] > upright[1])
    frame, orientation = (upright, UPRIGHT) if drawn_upright else (stored, photograph.orientation)
    scale_x, scale_y = frame[0] / drawn_on[0], frame[1] / drawn_on[1]
    shown = []
    for xmin, ymin, xmax, ymax in found.boxes:
        # Both ends are inside the box: its edges are min and max + 1.
        edges = ((xmin * scale_x, ymin * scale_y), ((xmax + 1) * scale_x, (ymax + 1) * scale_y))
        (x0, y0), (x1, y1) = (_turned(*corner, *frame, orientation) for corner in edges)
        shown.append((min(x0, x1), min(y0, y1), max(x0, x1) - 1, max(y0, y1) - 1))
    return shown


def _turned(x: float, y: float, width: int, height: int, orientation: int) -> tuple[float, float]:
    """Return where a point of the stored picture lies in the upright one."""
    return {
        2: (width - x, y),
        3: (width - x, height - y),
        4: (x, height - y),
        5: (y, x),
        6: (height - y, x),
        7: (height - y, width - x),
        8: (y, width - x),
    }.get(orientation, (x, y))


class _Found(NamedTuple):
    """One object: the class it shows and its box."""

    class_name: str
    box: Box


class _Listed:
    """Boxes that one file lists for many images, by the image's path or, where that is unique, by its name."""

    def __init__(
        self, path: Path, objects: dict[str, list[_Found]], sizes: dict[str, tuple[int, int]] | None = None
    ) -> None:
        self._path = path
        self._objects = objects
        self._sizes = sizes or {}

    def find(self, sample_id: str, class_name: str) -> Boxes | None:
        name = PurePosixPath(sample_id)
        for key in (sample_id, name.name, name.stem):
            if key in self._objects:
                boxes = tuple(found.box for found in self._objects[key] if found.class_name == class_name)
                return Boxes(boxes, self._sizes.get(key)) if boxes else None
        return None

    def digest_rows(self) -> list[tuple[str, str]]:
        return [(self._path.name, file_digests([self._path])[0])]


class _KaggleTable(_Listed):
    """`ImageId,PredictionString` with five fields per object: wnid, xmin, ymin, xmax, ymax."""

    def __init__(self, path: Path) -> None:
        objects: dict[str, list[_Found]] = {}
        for line, row in read_rows(path, _FROM_KAGGLE):
            if {"ImageId", "PredictionString"} - set(row):
                raise InputError(f"'{path}' has no columns ImageId and PredictionString; {_FROM_KAGGLE}.")
            fields = row["PredictionString"].split()
            groups = [fields[at : at + _FIELDS_PER_BOX] for at in range(0, len(fields), _FIELDS_PER_BOX)]
            try:
                objects[row["ImageId"]] = [_Found(wnid, _box(values)) for wnid, *values in groups]
            except ValueError as error:
                raise InputError(
                    f"'{path}', line {line}: expected groups of wnid, xmin, ymin, xmax, ymax, got "
                    f"'{row['PredictionString']}'; {_FROM_KAGGLE}."
                ) from error
        super().__init__(path, objects)

    def classes(self) -> dict[str, str]:
        """Return the class of every image that has a box, by image id."""
        return {image: found[0].class_name for image, found in self._objects.items() if found}


def kaggle_classes(path: Path) -> dict[str, str]:
    """Return the class of every image that Kaggle's table lists, by image id (the file's name without suffix)."""
    return _KaggleTable(path).classes()


def _table(path: Path) -> _Listed:
    objects: dict[str, list[_Found]] = {}
    for line, row in read_rows(path, _MEND):
        if missing := [column for column in _TABLE_COLUMNS if column not in row]:
            raise InputError(
                f"'{path}' has no column {missing[0]}; the columns must be {', '.join(_TABLE_COLUMNS)}; {_MEND}."
            )
        values = [row[tag] for tag in _BOX_TAGS]
        try:
            objects.setdefault(row["file"].replace("\\", "/"), []).append(_Found(row["class"], _box(values)))
        except ValueError as error:
            raise InputError(
                f"'{path}', line {line}: {', '.join(_BOX_TAGS)} are {', '.join(values)} ({error}); {_MEND}."
            ) from error
    return _Listed(path, objects)


def _coco(path: Path) -> _Listed:
    """Boxes `[x, y, width, height]`; crowds are left out."""
    objects: dict[str, list[_Found]] = {}
    sizes = {}
    try:
        content: Any = json.loads(read_text(path, _MEND))
        names = {entry["id"]: str(entry["name"]) for entry in content["categories"]}
        images = {entry["id"]: str(entry["file_name"]) for entry in content["images"]}
        for entry in content["images"]:
            if "width" in entry and "height" in entry:
                sizes[str(entry["file_name"])] = _size(entry["width"], entry["height"])
        for entry in content["annotations"]:
            if not entry.get("iscrowd"):
                x, y, width, height = entry["bbox"]
                box = _box([x, y, x + width - 1, y + height - 1])
                found = _Found(names[entry["category_id"]], box)
                objects.setdefault(images[entry["image_id"]], []).append(found)
    except (json.JSONDecodeError, LookupError, TypeError, ValueError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(
            f"cannot read the boxes in '{path}' ({type(error).__name__}: {error}); it must be COCO's JSON with "
            f"images, annotations and categories: {_MEND}."
        ) from error
    return _Listed(path, objects, {name: size for name, size in sizes.items() if size is not None})


class _XmlFiles:
    """One XML file per image, as in ILSVRC's `val/ILSVRC2012_val_00000001.xml`; read when asked for."""

    def __init__(self, folder: Path, *, first_pixel: int, files: Sequence[Path] = ()) -> None:
        self._folder = folder
        self._first_pixel = first_pixel
        files = files or sorted(folder.rglob("*.xml"))
        n_of_stem = Counter(path.stem for path in files)
        # By the image's name; two classes may use the same one, and then the folder has to be named too.
        self._files = {path.stem: path for path in files if n_of_stem[path.stem] == 1}
        self._files |= {path.relative_to(folder).with_suffix("").as_posix(): path for path in files}
        if not files:
            raise InputError(
                f"'{folder}' has no XML annotation files; unpack the boxes there or remove the folder to go "
                "without boxes."
            )

    def find(self, sample_id: str, class_name: str) -> Boxes | None:
        name = PurePosixPath(sample_id)
        path = self._files.get(name.with_suffix("").as_posix()) or self._files.get(name.stem)
        if path is None:
            return None
        try:
            root = ElementTree.parse(path).getroot()
            boxes = tuple(self._boxes_of(root, class_name))
            size = _size(root.findtext("size/width", "0"), root.findtext("size/height", "0"))
        except (OSError, ElementTree.ParseError, ValueError) as error:
            raise InputError(
                f"cannot read the boxes in '{path}' ({error}); restore or remove the file."
            ) from error
        return Boxes(boxes, size) if boxes else None

    def _boxes_of(self, root: ElementTree.Element, class_name: str) -> Iterable[Box]:
        for found in root.iter("object"):
            if found.findtext("name") == class_name and found.findtext("difficult", "0").strip() != "1":
                box = _box([found.findtext(f"bndbox/{tag}", "") for tag in _BOX_TAGS])
                xmin, ymin, xmax, ymax = (end - self._first_pixel for end in box)
                yield xmin, ymin, xmax, ymax

    def digest_rows(self) -> list[tuple[str, str]]:
        files = sorted(set(self._files.values()))
        names = [path.relative_to(self._folder).as_posix() for path in files]
        return list(zip(names, file_digests(files), strict=True))


def voc_objects(path: Path) -> dict[str, Boxes]:
    """Return the boxes of every class in one of PASCAL VOC's XML files, without difficult objects.

    Raises:
        InputError: If it cannot be parsed.
    """
    source = _XmlFiles(path.parent, first_pixel=1, files=[path])
    try:
        names = [found.findtext("name", "") for found in ElementTree.parse(path).getroot().iter("object")]
    except (OSError, ElementTree.ParseError) as error:
        raise InputError(f"cannot read the boxes in '{path}' ({error}); restore or remove the file.") from error
    boxes = {name: source.find(path.stem, name) for name in dict.fromkeys(names)}
    return {name: found for name, found in boxes.items() if found is not None}


def _box(values: Sequence[str | float]) -> Box:
    """Return four numbers as a box.

    Raises:
        ValueError: If they are not four finite numbers with min ≤ max: a box without end would hold every pixel.
    """
    xmin, ymin, xmax, ymax = map(float, values)
    if not all(map(math.isfinite, (xmin, ymin, xmax, ymax))):
        raise ValueError("a coordinate is not finite")
    if xmin > xmax or ymin > ymax:
        raise ValueError("a minimum is above its maximum")
    return xmin, ymin, xmax, ymax


def _size(width: str | float, height: str | float) -> tuple[int, int] | None:
    size = int(width), int(height)
    return size if min(size) > 0 else None
