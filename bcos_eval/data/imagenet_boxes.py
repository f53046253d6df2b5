"""ImageNet's object boxes, from the ILSVRC XML files or Kaggle's CSV."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple, Protocol
from xml.etree import ElementTree

from bcos_eval.errors import InputError

from .listing import file_digest
from .transform import Box

KAGGLE_CSV = {"val": "LOC_val_solution.csv", "train": "LOC_train_solution.csv"}
XML_FOLDERS = ("bbox", "Annotations")

_BOX_TAGS = ("xmin", "ymin", "xmax", "ymax")
_FIELDS_PER_BOX = 1 + len(_BOX_TAGS)


class Boxes(NamedTuple):
    """Boxes of one image.

    Attributes:
        boxes: Inclusive pixel boxes of the image's own class.
        size: Width and height of the image they were drawn on; None where the source does not say.
    """

    boxes: tuple[Box, ...]
    size: tuple[int, int] | None


class BoxSource(Protocol):
    """Where boxes of images come from."""

    def find(self, stem: str, wnid: str) -> Boxes | None:
        """Boxes of the image with this file stem that show this class; None if the source has none."""
        ...

    def digest_rows(self) -> list[tuple[str, str]]:
        """Name and content digest of every annotation file."""
        ...


def find_boxes(folders: Sequence[Path], split: str) -> BoxSource | None:
    """The boxes that lie in one of the folders, or None.

    Looked for in this order in each folder: Kaggle's `LOC_val_solution.csv`, then XML files anywhere below
    `bbox/` or `Annotations/`, found by the image's name.
    """
    for folder in folders:
        table = folder / KAGGLE_CSV[split]
        if table.is_file():
            return _CsvBoxes(table)
        for name in XML_FOLDERS:
            if (folder / name).is_dir():
                return _XmlBoxes(folder / name)
    return None


class _CsvBoxes:
    """`ImageId,PredictionString` with five fields per object: wnid, xmin, ymin, xmax, ymax."""

    def __init__(self, path: Path) -> None:
        self._path = path
        with path.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file)
            if reader.fieldnames is None or {"ImageId", "PredictionString"} - set(reader.fieldnames):
                raise InputError(
                    f"'{path}' has no columns ImageId and PredictionString; restore the file from Kaggle or "
                    "remove it to go without boxes."
                )
            self._objects = {row["ImageId"]: _csv_objects(path, reader.line_num, row) for row in reader}

    def find(self, stem: str, wnid: str) -> Boxes | None:
        boxes = tuple(box for name, box in self._objects.get(stem, ()) if name == wnid)
        return Boxes(boxes, None) if boxes else None

    def digest_rows(self) -> list[tuple[str, str]]:
        return [(self._path.name, file_digest(self._path))]


def _csv_objects(path: Path, number: int, row: dict[str, str]) -> list[tuple[str, Box]]:
    fields = (row["PredictionString"] or "").split()
    objects = [fields[start : start + _FIELDS_PER_BOX] for start in range(0, len(fields), _FIELDS_PER_BOX)]
    try:
        return [(wnid, _box(*values)) for wnid, *values in objects]
    except (TypeError, ValueError) as error:
        raise InputError(
            f"'{path}', line {number}: expected groups of wnid, xmin, ymin, xmax, ymax, got "
            f"'{row['PredictionString']}'; restore the file from Kaggle or remove it to go without boxes."
        ) from error


class _XmlBoxes:
    """One XML file per image, as in ILSVRC's `val/ILSVRC2012_val_00000001.xml`; read when asked for."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._files = {path.stem: path for path in sorted(folder.rglob("*.xml"))}
        if not self._files:
            raise InputError(
                f"'{folder}' has no XML annotation files; unpack ILSVRC's boxes there or remove the folder to go "
                "without boxes."
            )

    def find(self, stem: str, wnid: str) -> Boxes | None:
        path = self._files.get(stem)
        if path is None:
            return None
        try:
            root = ElementTree.parse(path).getroot()
            boxes = tuple(
                _box(*(found.findtext(f"bndbox/{tag}", "") for tag in _BOX_TAGS))
                for found in root.iter("object")
                if found.findtext("name") == wnid
            )
            size = tuple(int(root.findtext(f"size/{tag}", "0")) for tag in ("width", "height"))
        except (ElementTree.ParseError, ValueError) as error:
            raise InputError(
                f"cannot read the boxes in '{path}' ({error}); restore the file from ILSVRC's boxes."
            ) from error
        return Boxes(boxes, (size[0], size[1]) if all(size) else None) if boxes else None

    def digest_rows(self) -> list[tuple[str, str]]:
        files = self._files.values()
        return [(path.relative_to(self._folder).as_posix(), file_digest(path)) for path in files]


def _box(xmin: str, ymin: str, xmax: str, ymax: str) -> Box:
    return float(xmin), float(ymin), float(xmax), float(ymax)
