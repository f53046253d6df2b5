"""Which conclusions depend on the protocol: the order of contenders under every preset of a metric."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np
import pandas as pd

from bcos_eval.errors import InputError
from bcos_eval.reports.tables.table import ARROWS, FEW_STIMULI, UNKNOWN, csv_text, json_text, markdown, number
from bcos_eval.statistics.intervals import mean_interval
from bcos_eval.statistics.resampling import CONFIDENCE, Floats, grouped_mean

from .comparison import unit_differences
from .unit_matrix import Contender, UnpairedError, named_apart, unit_matrix

Ahead = Literal["a", "b", ""]
Fate = Literal["turns round", "depends", "stands", "never decided"]
FATES: Mapping[Fate, str] = {
    "turns round": "turn round: one contender is ahead under some presets, the other under others",
    "depends": "depend on the preset: ahead under some, undecided under others",
    "stands": "stand under every preset",
    "never decided": "are decided by none",
}


@dataclass(frozen=True, slots=True)
class Mean:
    """The mean of a contender under a preset.

    Attributes:
        mean: Mean score, NaN without a defined one.
        ci_low: Lower end of its 95 % interval over stimuli.
        ci_high: Upper end.
        chance: Mean chance level of the same units.
        n_stimuli: Number of stimuli with a defined score.
    """

    mean: float
    ci_low: float
    ci_high: float
    chance: float
    n_stimuli: int


@dataclass(frozen=True, slots=True)
class Order:
    """The order of two contenders under a preset.

    Attributes:
        difference: Mean of A − B.
        ci_low: Lower end of its interval, which holds together with those of all pairs and presets.
        ci_high: Upper end.
        is_paired: Whether both were measured on the same units.
        ahead: Who is better, where the interval leaves out 0.
    """

    difference: float
    ci_low: float
    ci_high: float
    is_paired: bool
    ahead: Ahead


@dataclass(frozen=True, slots=True)
class Conclusion:
    """Two contenders: methods of one model, or models explained by one method.

    Attributes:
        a: The first.
        b: The second.
        orders: Their order by preset.
    """

    a: Contender
    b: Contender
    orders: Mapping[str, Order]

    @property
    def fate(self) -> Fate:
        """What becomes of the conclusion as the preset changes."""
        found = {order.ahead for order in self.orders.values()}
        if {"a", "b"} <= found:
            return "turns round"
        if found == {""}:
            return "never decided"
        return "depends" if "" in found else "stands"


@dataclass(frozen=True, slots=True)
class ProtocolTable:
    """A metric under several presets, on one dataset.

    Attributes:
        dataset: Name of the dataset.
        metric: Name of the metric.
        directions: Which scores are better, by preset.
        means: Means by contender and preset.
        conclusions: All pairs that two presets or more say something about.
    """

    dataset: str
    metric: str
    directions: Mapping[str, str]
    means: Mapping[Contender, Mapping[str, Mean]]
    conclusions: Sequence[Conclusion]


def protocol_tables(units: pd.DataFrame) -> list[ProtocolTable]:
    """Return what becomes of every conclusion as the preset of a metric changes.

    Methods are compared on each model, and models under each method. Pairs measured on the same units are compared
    by their differences, others (grids of each model's own images) by their means. Intervals of all pairs and
    presets of a table hold together with 95 % (Bonferroni). Other weights make another model, and
    other pools of images of one model another preset.

    Args:
        units: From `comparable_units`; presets are the metrics' labels, parameters included.

    Raises:
        InputError: If no metric has two presets.
    """
    units = named_apart(units)
    units = units.assign(preset=_presets_told_apart(units))
    tables = [
        _table(str(dataset), str(metric), rows)
        for (dataset, metric), rows in units.groupby(["dataset", "metric"], sort=True)
        if rows["preset"].nunique() > 1
    ]
    if not tables:
        raise InputError("no metric was run with two presets; name one with several, such as --metric grid_pg.")
    return tables


def _presets_told_apart(units: pd.DataFrame) -> pd.Series:
    """Presets, with their pool of images where one contender has scores on several."""
    of_preset = ["dataset", "metric", "preset"]
    n_pools = units.groupby([*of_preset, "model", "method"])["pool"].transform("nunique")
    most = units.assign(n_pools=n_pools).groupby(of_preset)["n_pools"].transform("max")
    return units["preset"].where(most == 1, units["preset"] + " [" + units["pool"] + "]")


def _table(dataset: str, metric: str, units: pd.DataFrame) -> ProtocolTable:
    by_preset = {str(preset): rows for preset, rows in units.groupby("preset", sort=True)}
    means: dict[Contender, dict[str, Mean]] = {}
    for preset, rows in by_preset.items():
        for (model, method), own in rows.groupby(["model", "method"], sort=True):
            means.setdefault(Contender(str(model), str(method)), {})[preset] = _mean(own)
    contenders = sorted(means, key=lambda one: (one.model, one.method))
    pairs = [
        (a, b, shared)
        for a, b in itertools.combinations(contenders, 2)
        if (a.model == b.model or a.method == b.method) and len(shared := means[a].keys() & means[b].keys()) > 1
    ]
    n_intervals = sum(len(shared) for _, _, shared in pairs)
    confidence = 1 - (1 - CONFIDENCE) / max(1, n_intervals)
    conclusions = [
        Conclusion(a, b, {preset: _order(by_preset[preset], a, b, confidence) for preset in sorted(shared)})
        for a, b, shared in pairs
    ]
    directions = {preset: str(rows["direction"].iloc[0]) for preset, rows in by_preset.items()}
    return ProtocolTable(dataset, metric, directions, means, conclusions)


def _defined(units: pd.DataFrame) -> tuple[Floats, np.ndarray[Any, Any], np.ndarray[Any, Any] | None]:
    """Return defined scores with their stimuli, and with their classes where the mean is over classes."""
    kept = units[np.isfinite(units["score"])]
    classes = kept["target"].to_numpy() if bool(units["by_class"].iloc[0]) else None
    return kept["score"].to_numpy(np.float64), kept["stimulus"].to_numpy(), classes


def _mean(units: pd.DataFrame) -> Mean:
    scores, stimuli, classes = _defined(units)
    chance = units.loc[np.isfinite(units["score"]), "chance"]
    return Mean(
        grouped_mean(scores, classes),
        *mean_interval(scores, stimuli, classes),
        chance=float(chance.mean()),
        n_stimuli=len(np.unique(stimuli)),
    )


def _order(units: pd.DataFrame, a: Contender, b: Contender, confidence: float) -> Order:
    try:
        matrix = unit_matrix(units, (a, b))
    except UnpairedError:
        return _order_of_means(units, a, b, confidence)
    differences = unit_differences(matrix, 0, 1)
    paired = np.isfinite(differences)
    groups = None if matrix.groups is None else matrix.groups[paired]
    difference = grouped_mean(differences[paired], groups)
    low, high = mean_interval(differences[paired], matrix.clusters[paired], groups, confidence=confidence)
    return Order(difference, low, high, True, _ahead(low, high, matrix.direction))


def _order_of_means(units: pd.DataFrame, a: Contender, b: Contender, confidence: float) -> Order:
    """Return the order of two independent means; the interval is made of theirs (Zou and Donner 2008)."""
    of_both = [_defined(units[(units["model"] == one.model) & (units["method"] == one.method)]) for one in (a, b)]
    (mean_a, low_a, high_a), (mean_b, low_b, high_b) = (
        (grouped_mean(scores, classes), *mean_interval(scores, stimuli, classes, confidence=confidence))
        for scores, stimuli, classes in of_both
    )
    difference = mean_a - mean_b
    low = difference - math.hypot(mean_a - low_a, high_b - mean_b)
    high = difference + math.hypot(high_a - mean_a, mean_b - low_b)
    return Order(difference, low, high, False, _ahead(low, high, str(units["direction"].iloc[0])))


def _ahead(low: float, high: float, direction: str) -> Ahead:
    if not (low > 0 or high < 0):
        return ""
    return "a" if (low > 0) == (direction == "higher") else "b"


_LEGEND = """\
A − B: mean difference with an interval that holds for all pairs and presets of the table together (95 %,
Bonferroni), in bold where it leaves out 0. † means on different units, each model's own grids: --pool shared pairs
them. * fewer than 30 stimuli. Presets have their own chance levels: compare down a column, not along a row.
"""


def protocols_text(tables: Sequence[ProtocolTable], style: Literal["md", "csv", "json"]) -> str:
    """Return tables as text; only Markdown is rounded and leaves out conclusions that stand."""
    rows = [row for table in tables for row in _plain(table)]
    if style == "csv":
        return csv_text(rows, list(rows[0]) if rows else [])
    if style == "json":
        return json_text("orders", rows)
    return "\n".join([*map(_section, tables), _LEGEND])


def _plain(table: ProtocolTable) -> Iterator[dict[str, Any]]:
    for conclusion in table.conclusions:
        for preset, order in conclusion.orders.items():
            yield {
                "dataset": table.dataset,
                "metric": table.metric,
                "preset": preset,
                "a": conclusion.a.label,
                "b": conclusion.b.label,
                **asdict(order),
                "fate": conclusion.fate,
            }


def _section(table: ProtocolTable) -> str:
    lines = [f"### {table.metric} on {table.dataset}\n", _means_text(table)]
    for fate, words in FATES.items():
        found = [one for one in table.conclusions if one.fate == fate]
        if not found and fate != "turns round":
            continue
        lines.append(f"{len(found)} of {len(table.conclusions)} pairs {words}.\n")
        if found and fate in ("turns round", "depends"):
            lines.append(_conclusions_text(found, list(table.directions)))
    return "\n".join(lines)


def _means_text(table: ProtocolTable) -> str:
    presets = list(table.directions)
    columns: dict[str, list[str]] = {
        "model": [one.model for one in table.means],
        "method": [one.method for one in table.means],
    }
    for preset in presets:
        cells = [_mean_text(of_contender.get(preset)) for of_contender in table.means.values()]
        columns[f"{preset} {ARROWS[table.directions[preset]]}"] = cells
    chances = [
        {number(of_contender[preset].chance) for of_contender in table.means.values() if preset in of_contender}
        for preset in presets
    ]
    chance = [" to ".join(sorted({min(values), max(values)})) for values in chances]
    for column, value in zip(columns, ["chance", "", *chance], strict=True):
        columns[column].append(value)
    return markdown(columns, numeric=set(columns) - {"model", "method"})


def _mean_text(mean: Mean | None) -> str:
    if mean is None:
        return UNKNOWN
    few = "*" if mean.n_stimuli < FEW_STIMULI else ""
    if math.isnan(mean.ci_low):
        return f"{number(mean.mean)}{few}"
    return f"{number(mean.mean)}{few} [{number(mean.ci_low)}, {number(mean.ci_high)}]"


def _conclusions_text(conclusions: Sequence[Conclusion], presets: Sequence[str]) -> str:
    columns = {"A": [one.a.label for one in conclusions], "B": [one.b.label for one in conclusions]}
    for preset in presets:
        columns[preset] = [_order_text(one.orders.get(preset)) for one in conclusions]
    return markdown(columns, numeric=set(presets))


def _order_text(order: Order | None) -> str:
    if order is None or math.isnan(order.difference):
        return UNKNOWN
    mark = "" if order.is_paired else " †"
    interval = "" if math.isnan(order.ci_low) else f" [{order.ci_low:+.3f}, {order.ci_high:+.3f}]"
    difference = f"**{order.difference:+.3f}**" if order.ahead else f"{order.difference:+.3f}"
    return f"{difference}{interval}{mark}"
