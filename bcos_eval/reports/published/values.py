"""Numbers that others published, each with what it was measured on: the files in `csv/`."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, fields
from importlib.resources import files
from io import StringIO
from typing import Literal, get_args

from bcos_eval.errors import InputError

Quantity = Literal["mean", "q25", "median", "q75"]
_QUANTITIES: tuple[Quantity, ...] = get_args(Quantity)
# The name under which the share of correctly classified images stands where a metric has its own.
TOP1 = "top1"


@dataclass(frozen=True, slots=True)
class PublishedValue:
    """One published number; what its source does not say is empty, and cannot differ.

    Attributes:
        model: Name of the network in this suite.
        dataset: Name of the dataset in this suite.
        n_images: Number of images of the dataset.
        weights: Beginning of the SHA-256 of the file of weights.
        size: Side of an image in pixels.
        method: Registered name of the explainer; empty for `top1`.
        method_settings: Its parameters, as far as they are known.
        metric: Registered name of the metric, or `top1`.
        preset: Registered preset.
        settings: Parameters of the metric.
        quantity: What the number is over all units.
        value: The number.
        n: Number of stimuli (grids or images).
        source: Where it stands.
    """

    model: str
    dataset: str
    n_images: int | None
    weights: str
    size: int | None
    method: str
    method_settings: Mapping[str, str]
    metric: str
    preset: str
    settings: Mapping[str, str]
    quantity: Quantity
    value: float
    n: int | None
    source: str

    @property
    def what(self) -> str:
        """The metric with its preset and parameters, as tables show it: `grid_pg/bcos_v2(n=3,smoothing=15)`."""
        inside = ",".join(f"{key}={value}" for key, value in self.settings.items())
        name = f"{self.metric}/{self.preset}" if self.preset else self.metric
        return f"{name}({inside})" if inside else name


def shipped_values() -> list[PublishedValue]:
    """Return all numbers of the shipped files, in the order of their names."""
    folder = files(__package__) / "csv"
    found = sorted((path for path in folder.iterdir() if path.name.endswith(".csv")), key=lambda path: path.name)
    return [value for path in found for value in values_from_csv(path.read_text(encoding="utf-8"), path.name)]


def values_from_csv(text: str, name: str) -> Iterator[PublishedValue]:
    """Yield the numbers of a table with the columns of `PublishedValue`; settings are `key=value;key=value`.

    Raises:
        InputError: If columns are missing or unknown, or a field is no number or quantity.
    """
    rows = csv.DictReader(StringIO(text.removeprefix("\N{BYTE ORDER MARK}")))
    expected = [field.name for field in fields(PublishedValue)]
    if sorted(rows.fieldnames or ()) != sorted(expected):
        raise InputError(f"'{name}' has columns {', '.join(rows.fieldnames or ())}; give {', '.join(expected)}.")
    for number, row in enumerate(rows, start=2):
        try:
            yield _value(row)
        except (ValueError, AttributeError, TypeError) as error:
            raise InputError(f"'{name}', line {number}: {error}; correct the field.") from error


def _value(row: Mapping[str, str]) -> PublishedValue:
    quantity = next((one for one in _QUANTITIES if one == row["quantity"]), None)
    if quantity is None:
        raise ValueError(f"quantity '{row['quantity']}' is none of {', '.join(_QUANTITIES)}")
    return PublishedValue(
        model=row["model"],
        dataset=row["dataset"],
        n_images=_count(row["n_images"]),
        weights=row["weights"],
        size=_count(row["size"]),
        method=row["method"],
        method_settings=_settings(row["method_settings"].split(";")),
        metric=row["metric"],
        preset=row["preset"],
        settings=_settings(row["settings"].split(";")),
        quantity=quantity,
        value=float(row["value"]),
        n=_count(row["n"]),
        source=row["source"],
    )


def _count(text: str) -> int | None:
    return int(text) if text else None


def _settings(words: Iterable[str]) -> dict[str, str]:
    return {key: value for key, _, value in (word.partition("=") for word in words if word)}
