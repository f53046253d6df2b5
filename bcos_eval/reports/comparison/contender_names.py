"""What names on the command line stand for, among the results that are stored."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

import pandas as pd

from bcos_eval.errors import InputError, unknown_name

from .unit_matrix import Contender

Pair = tuple[Contender, Contender]

_COMMA_OUTSIDE_BRACKETS = re.compile(r",(?![^(]*\))")


def named_pairs(cells: pd.DataFrame, first: str, second: str) -> list[Pair]:
    """Return the pairs of contenders that two names stand for.

    A name is `MODEL:METHOD`, or one of the two. Two methods are compared on each model that has both, two models
    with each method that both have, or with the only one that each has. Beside a full name, a model or a method
    stands for itself where that is clear.

    Args:
        cells: Stored results, with columns `model` and `method`.
        first: The first name.
        second: The second name.

    Raises:
        InputError: If a name is unknown (with near matches), several pairs could be meant, or none exists.
    """
    stored = _Stored(cells)
    a, b = stored.kind(first), stored.kind(second)
    if first == second:
        raise InputError(f"'{first}' cannot be compared with itself; name two different methods or models.")
    if a == b == "method":
        pairs = [(Contender(m, first), Contender(m, second)) for m in stored.models_with(first, second)]
    elif a == b == "model":
        pairs = stored.pairs_of_models(first, second)
    else:
        pairs = [(stored.contender(first), stored.contender(second))]
    if not pairs:
        raise InputError(f"no results have both '{first}' and '{second}'; write MODEL:METHOD for each of them.")
    if pairs[0][0] == pairs[0][1]:
        raise InputError(f"'{first}' and '{second}' are both {pairs[0][0].label}; name two different ones.")
    return pairs


def rows_of_metrics(units: pd.DataFrame, names: Sequence[str]) -> pd.DataFrame:
    """Return the rows of metrics, each `name`, `name/preset` or `name/preset(with=parameters)`.

    Without names, all rows. A plain preset stands for all parameters and pools it was run with. Commas outside
    brackets separate names.

    Raises:
        InputError: If a metric has no results.
    """
    if not names:
        return units
    full = units["metric"] + "/" + units["preset"]
    chosen = pd.Series(False, index=units.index)
    for name in (part.strip() for text in names for part in _COMMA_OUTSIDE_BRACKETS.split(text)):
        found = (units["metric"] == name) | (full == name) | (units["full_preset"] == name)
        if not found.any():
            raise unknown_name("metric in these results", name, {*units["metric"], *full})
        chosen |= found
    return units[chosen]


def rows_of_datasets(units: pd.DataFrame, names: Sequence[str]) -> pd.DataFrame:
    """Return the rows of datasets; all without names.

    Raises:
        InputError: If a dataset has no results.
    """
    known = set(units["dataset"])
    for name in names:
        if name not in known:
            raise unknown_name("dataset in these results", name, known)
    return units[units["dataset"].isin(names)] if names else units


class _Stored:
    """The models and methods there are results of."""

    def __init__(self, cells: pd.DataFrame) -> None:
        distinct = cells[["model", "method"]].drop_duplicates().itertuples(index=False)
        self._pairs = sorted((str(row.model), str(row.method)) for row in distinct)

    def kind(self, name: str) -> str:
        """Return what a name is: "model", "method" or "both"."""
        if name in {model for model, _ in self._pairs}:
            return "model"
        if name in {method for _, method in self._pairs}:
            return "method"
        if name in (labels := [Contender(*pair).label for pair in self._pairs]):
            return "both"
        known = {name for pair in self._pairs for name in pair}
        # The near matches of a full name are full names; short ones would crowd them out.
        raise unknown_name("model or method in these results", name, labels if ":" in name else known)

    def methods_of(self, model: str) -> list[str]:
        return [method for one, method in self._pairs if one == model]

    def models_with(self, *methods: str) -> list[str]:
        models = dict.fromkeys(model for model, _ in self._pairs)
        return [model for model in models if all((model, method) in self._pairs for method in methods)]

    def pairs_of_models(self, first: str, second: str) -> list[Pair]:
        ours, theirs = self.methods_of(first), self.methods_of(second)
        if len(ours) == len(theirs) == 1:
            return [(Contender(first, ours[0]), Contender(second, theirs[0]))]
        return [(Contender(first, method), Contender(second, method)) for method in ours if method in theirs]

    def contender(self, name: str) -> Contender:
        kind = self.kind(name)
        if kind == "both":
            return Contender(*next(pair for pair in self._pairs if Contender(*pair).label == name))
        meant = [pair for pair in self._pairs if name in pair]
        if len(meant) > 1:
            raise InputError(
                f"'{name}' stands for {_listed(Contender(*pair).label for pair in meant)}; write one."
            )
        return Contender(*meant[0])


def _listed(names: Iterable[str]) -> str:
    return " or ".join(names)
