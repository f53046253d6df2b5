"""Which rows of a leaderboard are shown, and in which order."""

from __future__ import annotations

import fnmatch
import itertools
import math
import re
from collections.abc import Iterable, Mapping, Sequence

from bcos_eval.errors import InputError, unknown_name

from .table import Row

# What rows can be chosen by.
KEYS = ("dataset", "model", "weights", "method", "metric")
# A comma parts two choices where a key follows; labels such as `lime(n_samples=100,map=top5)` hold commas too.
_PART = re.compile(rf",(?=(?:{'|'.join(KEYS)})=)")


def parse_only(texts: Iterable[str]) -> dict[str, list[str]]:
    """Read choices of the form `model=bcos_*,metric=grid_pg`: the values allowed by key, which may hold wildcards.

    Raises:
        InputError: If one has another form, or a key is unknown.

    Example:
        >>> parse_only(["model=bcos_*,metric=grid_pg", "metric=energy_pg"])
        {'model': ['bcos_*'], 'metric': ['grid_pg', 'energy_pg']}
    """
    chosen: dict[str, list[str]] = {}
    for part in (part for text in texts for part in _PART.split(text)):
        key, equals, value = part.partition("=")
        if not equals or not value:
            raise InputError(f"--only '{part}' is not of the form KEY=VALUE, for example model=bcos_resnet50.")
        if key not in KEYS:
            raise unknown_name("key in --only", key, KEYS)
        chosen.setdefault(key, []).append(value)
    return chosen


def selected(rows: Sequence[Row], only: Mapping[str, Sequence[str]]) -> list[Row]:
    """Return the rows that have one of the values allowed, for every key.

    A metric is meant with or without its preset, a method with or without its parameters.

    Raises:
        InputError: If no row has a value that was asked for; with those there are.
    """
    for key, values in only.items():
        present = {spelling for row in rows for spelling in _spellings(row, key)}
        for value in values:
            if not is_named(present, [value]):
                raise unknown_name(f"{key} in these results", value, {_spellings(row, key)[-1] for row in rows})
    return [row for row in rows if all(_has(row, key, values) for key, values in only.items())]


def sorted_by(rows: Sequence[Row], metric: str) -> list[Row]:
    """Return the rows ordered by the mean of a metric, best first; rows of one model and method stay together.

    Models and methods without a mean come last, in the order they had.

    Raises:
        InputError: If no row is of the metric, or its presets leave open which is meant.
    """
    of_metric = [row for row in rows if _has(row, "metric", [metric])]
    names = sorted({_spellings(row, "metric")[-1] for row in of_metric})
    if not names:
        raise unknown_name("metric in these results", metric, {_spellings(row, "metric")[-1] for row in rows})
    if len(names) > 1:
        raise InputError(f"--sort '{metric}' stands for {', '.join(names)}; name one of them.")
    sign = -1 if of_metric[0]["direction"] == "higher" else 1
    places = {contender(row): sign * row["mean"] for row in of_metric if not math.isnan(row["mean"])}
    return sorted(rows, key=lambda row: (row["dataset"], places.get(contender(row), math.inf), contender(row)))


def controls_last(rows: Sequence[Row]) -> list[Row]:
    """Return the rows with the controls of each model after its other methods."""
    return sorted(rows, key=lambda row: (*contender(row)[:3], bool(row.get("is_control", False))))


def contender(row: Row) -> tuple[str, str, str, str]:
    """Return what is measured in a row: dataset, model, its weights, method."""
    return row["dataset"], row["model"], row["weights"], row["method"]


def is_named(spellings: Iterable[str], values: Iterable[str]) -> bool:
    """Whether one of the values, which may hold wildcards, is one of the spellings of a name."""
    return any(
        spelling == value or fnmatch.fnmatchcase(spelling, value)
        for spelling, value in itertools.product(spellings, values)
    )


def _has(row: Row, key: str, values: Sequence[str]) -> bool:
    return is_named(_spellings(row, key), values)


def _spellings(row: Row, key: str) -> list[str]:
    """Return how a value of a row may be named, in full last; the short names are those stored with the scores."""
    value = str(row[key])
    if key == "metric":
        return [value, f"{value}/{row.get('preset_name', row['preset'])}", f"{value}/{row['preset']}"]
    return [str(row.get("method_name", value)), value] if key == "method" else [value]
