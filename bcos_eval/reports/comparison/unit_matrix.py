"""Scores of several methods, or of several models, on the same units."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Literal, cast

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from bcos_eval.errors import InputError
from bcos_eval.reports.tables.leaderboard import stored_units
from bcos_eval.reports.tables.table import Row, model_names
from bcos_eval.statistics.resampling import Floats
from bcos_eval.store.facts import ShardFacts
from bcos_eval.store.shards import StoredShard

# What makes two units one: the same image in the same place of the same stimulus, explained for the same class.
UNIT_KEY = ("stimulus", "unit", "sample_id", "target")

_GRID = "grid"


class UnpairedError(InputError):
    """Scores that were measured on different units and cannot be compared in pairs."""


@dataclass(frozen=True, slots=True)
class Contender:
    """One side of a comparison: a method on a model."""

    model: str
    method: str

    @property
    def label(self) -> str:
        """As the command line names it."""
        return f"{self.model}:{self.method}"


@dataclass(frozen=True, slots=True)
class UnitMatrix:
    """Scores of M contenders on N units by one preset of a metric.

    Attributes:
        contenders: Whose scores the columns are.
        scores: Scores `(N, M)`; NaN where undefined or not measured.
        measured: Whether the contender was scored on the unit at all, `(N, M)` bool.
        clusters: The stimulus of each unit `(N,)`.
        groups: The class of each unit where the metric is a mean over classes, else None.
        direction: Which scores are better.
    """

    contenders: tuple[Contender, ...]
    scores: Floats
    measured: NDArray[np.bool_]
    clusters: NDArray[Any]
    groups: NDArray[Any] | None
    direction: Literal["higher", "lower"]


def comparable_units(shards: Iterable[StoredShard]) -> pd.DataFrame:
    """Return stored units with facts of their cells.

    Added are `stimuli` (units pair only where it is the same), `by_class` (whether the metric is a mean over
    classes), `method_name` (registered, without parameters) and `full_preset` (likewise, `metric/preset`).
    """
    kept = list(shards)
    facts = {shard.facts.address.cell: shard.facts for shard in kept}
    units = stored_units(kept)
    added: dict[str, Callable[[ShardFacts], object]] = {
        "stimuli": _stimuli_identity,
        "by_class": lambda one: one.metric.is_mean_over_classes,
        "method_name": lambda one: one.method.name,
        "full_preset": lambda one: f"{one.metric.name}/{one.metric.preset}",
    }
    for column, of in added.items():
        units[column] = units["cell"].map({cell: of(one) for cell, one in facts.items()})
    return units


def named_apart(units: pd.DataFrame) -> pd.DataFrame:
    """Return units whose models are called differently where their weights differ, as tables call them."""
    keys = ["dataset", "model", "weights"]
    names = model_names(cast("list[Row]", units[keys].drop_duplicates().to_dict("records")))
    called = [names[key] for key in units[keys].itertuples(index=False, name=None)]
    return units.assign(model=pd.Series(called, index=units.index, dtype=str))


def unit_matrix(units: pd.DataFrame, contenders: Sequence[Contender]) -> UnitMatrix:
    """Return the scores of contenders by unit.

    Args:
        units: Rows of one dataset, metric and preset, from `comparable_units`.
        contenders: At least two, all of which have rows.

    Raises:
        UnpairedError: If a model has scores for several weights, or the contenders have no units in common.
    """
    ids = pd.MultiIndex.from_frame(units[["model", "method"]])
    wanted = pd.MultiIndex.from_tuples([(one.model, one.method) for one in contenders])
    columns = wanted.get_indexer(ids)
    rows = units.assign(column=columns)[columns >= 0]
    _require_one_of_each(rows)
    _require_same_stimuli(rows)
    scores = rows["score"].where(np.isfinite(rows["score"]))
    table = rows.assign(score=scores, measured=True).pivot(
        index=list(UNIT_KEY), columns="column", values=["score", "measured"]
    )
    measured = table["measured"].notna().to_numpy()
    if not measured.all(1).any():
        raise UnpairedError(f"{_named(rows)} has no unit in common; run them with the same --seed and --samples.")
    by_class = bool(rows["by_class"].iloc[0])
    return UnitMatrix(
        contenders=tuple(contenders),
        scores=table["score"].to_numpy(np.float64),
        measured=measured,
        clusters=table.index.get_level_values("stimulus").to_numpy(),
        groups=table.index.get_level_values("target").to_numpy() if by_class else None,
        direction=rows["direction"].iloc[0],
    )


def _stimuli_identity(facts: ShardFacts) -> str:
    """Grids are numbered within the pool they are made of; a single image is itself, whoever looks at it."""
    stated = dict(facts.key.get("stimulus", {}))
    if stated.get("name") != _GRID:
        stated.pop("models", None)
    return json.dumps(stated, sort_keys=True)


def _require_one_of_each(rows: pd.DataFrame) -> None:
    for model, weights in rows.groupby("model")["weights"].unique().items():
        if len(weights) > 1:
            raise UnpairedError(
                f"{_named(rows)} has scores of {len(weights)} weights of '{model}' "
                f"({', '.join(sorted(weights))}); keep the results of each in a folder of its own."
            )


def _require_same_stimuli(rows: pd.DataFrame) -> None:
    if rows["stimuli"].nunique() <= 1:
        return
    stated = [json.loads(stimuli) for stimuli in rows["stimuli"].unique()]
    own = all(len(one.get("models", ())) == 1 for one in stated)
    why = (
        f"{stated[0].get('rule')} builds each model's grids from its own confident images"
        if own
        else "their grids were made for other sets of models"
    )
    raise UnpairedError(
        f"{_named(rows)} was measured on different units for {' and '.join(sorted(set(rows['model'])))}: "
        f"{why}; run them together with --pool shared."
    )


def _named(rows: pd.DataFrame) -> str:
    first = rows.iloc[0]
    return f"{first['metric']}/{first['preset']} on {first['dataset']}"
