"""The leaderboard: one row per dataset, model, method and metric, from stored units only.

Rows are made with NumPy alone: a table is drawn in less time than pandas takes to load. Who computes on with units
or rows gets them as data frames from `stored_units` and `leaderboard`.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from bcos_eval.errors import InputError
from bcos_eval.statistics.intervals import mean_interval
from bcos_eval.statistics.resampling import grouped_mean
from bcos_eval.statistics.sequences import anytime_interval
from bcos_eval.store.atomic_write import write_text
from bcos_eval.store.facts import POPULATION, MethodFacts
from bcos_eval.store.manifest import cell_recency
from bcos_eval.store.shards import Store, StoredShard

from .table import LABEL_COLUMNS, LEADERBOARD_COLUMNS, STATUS_COLUMNS, TIMING_COLUMNS, Row, csv_text

if TYPE_CHECKING:
    import pandas as pd


TIMINGS_NAME = "timings.csv"


def leaderboard_rows(
    shards: Iterable[StoredShard],
    planned: Mapping[str, int] | None = None,
    until: Mapping[str, float] | None = None,
) -> list[Row]:
    """Return the rows of a leaderboard: the contract's columns, and further counts after them.

    `n` counts the units with a defined score, on which mean, interval and quartiles rest; a zero map that scores
    0 is one of them. `chance` is the mean chance level of the same units. The interval is the 95 % `mean_interval`
    over stimuli, undefined where none holds its level. Units that several shards of a cell hold (runs with
    different `--samples`) count once.

    Args:
        shards: Stored shards of any number of cells.
        planned: Number of units of each cell when it is finished, as the manifest says; unknown where it does not.
        until: Half-width at which a cell was to stop, for those that were: their interval is that of the
            confidence sequence, which holds whenever one stops.
    """
    ordered = sorted(shards, key=lambda shard: shard.facts.address.cell)  # stable: shards keep their order
    cells = itertools.groupby(ordered, key=lambda shard: shard.facts.address.cell)
    rows = [
        {**summary(list(own), (until or {}).get(cell)), "n_planned": (planned or {}).get(cell)}
        for cell, own in cells
    ]
    return sorted(rows, key=lambda row: [row[column] for column in LABEL_COLUMNS])


def leaderboard(
    shards: Iterable[StoredShard],
    planned: Mapping[str, int] | None = None,
    until: Mapping[str, float] | None = None,
) -> pd.DataFrame:
    """Return `leaderboard_rows` as a data frame with the contract's columns."""
    import pandas as pd

    table = pd.DataFrame(leaderboard_rows(shards, planned, until), columns=list(LEADERBOARD_COLUMNS))
    return table.astype({"n_planned": "Int64"})


def stored_units(shards: Iterable[StoredShard], columns: Sequence[str] | None = None) -> pd.DataFrame:
    """Return one row per distinct unit: the contract columns, `chance`, `direction`, `pool` and `cell`.

    Args:
        shards: Where they lie.
        columns: The contract columns that are needed; None for all. A million units fill a gigabyte with all.
    """
    import pandas as pd

    kept = list(shards)
    if not kept:
        return pd.DataFrame(columns=[*LABEL_COLUMNS, "stimulus", "unit", "cell"])
    wanted = kept[0].table.column_names if columns is None else [*dict.fromkeys((*columns, "stimulus", "unit"))]
    table = pa.concat_tables([shard.table.select(wanted) for shard in kept])
    chance = np.concatenate([np.asarray(shard.chance, dtype=np.float64) for shard in kept])
    table = table.append_column("chance", pa.array(chance))
    shared = {
        "direction": [shard.facts.metric.direction for shard in kept],
        "pool": [shard.facts.image_pool for shard in kept],
        "cell": [shard.facts.address.cell for shard in kept],
    }
    shard_of_row = np.repeat(np.arange(len(kept)), [shard.table.num_rows for shard in kept])
    for column, values in shared.items():
        table = table.append_column(column, pa.array(values, pa.string()).take(pa.array(shard_of_row)))
    units = table.to_pandas(split_blocks=True)
    again = units.duplicated(["cell", "stimulus", "unit"])
    return units[~again].reset_index(drop=True) if again.any() else units


def of_target(shards: Iterable[StoredShard], target: int) -> list[StoredShard]:
    """Return shards with those of their units that were explained for one class, by its index; no empty ones."""
    kept = []
    for shard in shards:
        is_wanted = shard.numbers("target") == target
        if is_wanted.any():
            chance = tuple(itertools.compress(shard.chance, is_wanted))
            kept.append(replace(shard, table=shard.table.filter(pa.array(is_wanted)), chance=chance))
    return kept


def stored_methods(shards: Iterable[StoredShard]) -> dict[str, MethodFacts]:
    """Return the methods of some shards by their labels."""
    return {shard.facts.method.label: shard.facts.method for shard in shards}


def status_counts(statuses: Iterable[str]) -> dict[str, int]:
    """Return the number of units with each status but `ok`, by column."""
    found = list(statuses)
    return {column: found.count(status) for column, status in STATUS_COLUMNS.items()}


def current_shards(store: Store) -> tuple[list[StoredShard], int]:
    """Return the shards a table is made of, and how many cells are left out.

    Cells with the same labels (another seed, another version, other data) are different measurements: the one
    asked for last is shown.
    """
    recency = cell_recency(store.root)
    shards = list(store.shards())
    newest: dict[tuple[str, ...], str] = {}
    for shard in shards:
        labels, cell = tuple(shard_labels(shard).values()), shard.facts.address.cell
        rival = newest.setdefault(labels, cell)
        if (recency.get(cell, -1), cell) > (recency.get(rival, -1), rival):
            newest[labels] = cell
    kept = set(newest.values())
    cells = {shard.facts.address.cell for shard in shards}
    return [shard for shard in shards if shard.facts.address.cell in kept], len(cells - kept)


def left_out_notes(store: Store, n_older_cells: int) -> list[str]:
    """Say what the shards of `current_shards` leave out: older cells, and the files of `damaged_notes`."""
    return [*([older_note(n_older_cells)] if n_older_cells else []), *damaged_notes(store)]


def older_note(n_cells: int) -> str:
    """Say that measurements of the same labels are left out."""
    return (
        f"note: {n_cells} cells with another seed, version or data are left out; "
        "of each row the one asked for last is shown."
    )


def damaged_notes(store: Store) -> list[str]:
    """Name the files that could not be read: without them a table has fewer units than were computed."""
    return [
        f"note: left out '{path}', which is damaged or of another version; the same `run` computes it again."
        for path in dict.fromkeys(store.ignored)
    ]


def require_results(shards: Sequence[StoredShard], folder: Path) -> None:
    """Refuse a folder without results.

    Raises:
        InputError: If there are no shards.
    """
    if not shards:
        raise InputError(f"'{folder}' holds no results; make some with `bcos-eval run --out {folder}`.")


def write_leaderboard(rows: Sequence[Row], path: Path) -> None:
    """Write the contract's columns as CSV, full precision, undefined numbers empty, and times in a file beside."""
    write_text(path, csv_text(rows, LEADERBOARD_COLUMNS))
    write_text(path.with_name(TIMINGS_NAME), csv_text(rows, TIMING_COLUMNS))


def shard_labels(shard: StoredShard) -> dict[str, str]:
    """Return what the row of a shard is called, by `LABEL_COLUMNS`."""
    stored = {column: str(shard.table[column][0]) for column in LABEL_COLUMNS if column != "pool"}
    return {**stored, "pool": shard.facts.image_pool}


def summary(shards: Sequence[StoredShard], until: float | None = None) -> Row:
    """Return the row of a cell, from its shards; of one that was to stop at a half-width, if that is given."""
    scores, targets, units, seconds, tied = (
        np.concatenate([shard.numbers(column) for shard in shards])
        for column in ("score", "target", "unit", "seconds", "tied")
    )
    stimuli, statuses = (
        [text for shard in shards for text in shard.texts(column)] for column in ("stimulus", "status")
    )
    chance = np.concatenate([shard.chance for shard in shards])
    clusters = np.unique(np.array(stimuli), return_inverse=True)[1]
    first, by_unit = _distinct_units(clusters, units)
    defined = by_unit[np.isfinite(scores[by_unit])]
    metric = shards[0].facts.metric
    classes = targets[defined] if metric.is_mean_over_classes else None
    bounds = {
        "low": -math.inf if metric.low is None else metric.low,
        "high": math.inf if metric.high is None else metric.high,
    }
    if until is None:
        low, high = mean_interval(scores[defined], clusters[defined], classes, **bounds)
    else:  # in the order of the run, which is not that of the files' names
        starts = np.repeat([shard.facts.first for shard in shards], [len(shard.chance) for shard in shards])
        run_order = defined[np.lexsort((defined, starts[defined]))]
        low, high = anytime_interval(
            scores[run_order],
            clusters[run_order],
            **bounds,
            target=until,
            population=shards[0].facts.key.get(POPULATION),
        )
    q25, median, q75 = np.quantile(scores[defined], [0.25, 0.5, 0.75]) if len(defined) else (np.nan,) * 3
    return {
        **shard_labels(shards[0]),
        "n": len(defined),
        "mean": grouped_mean(scores[defined], classes),
        "ci_low": low,
        "ci_high": high,
        "median": float(median),
        "q25": float(q25),
        "q75": float(q75),
        "chance": _mean(chance[defined]),
        **status_counts(statuses[place] for place in first),
        "seconds_per_unit": _mean(seconds[first]),
        "median_tied": _median(tied[first]),
        **_images_left_out(shards),
        "direction": metric.direction,
        "n_stimuli": len(np.unique(clusters[defined])),
        "stored": len(first),
        "was_to_stop": until is not None,
        "is_control": shards[0].facts.method.is_control,
        "method_name": shards[0].facts.method.name,
        "preset_name": metric.preset,
    }


def _images_left_out(shards: Sequence[StoredShard]) -> Row:
    """Return how many images were looked at and left out before the last stimulus; nothing where none ever is.

    Each shard says how many were looked at from the very first one on.
    """
    stated = [(shard.facts.n_looked_at, shard.facts.stop) for shard in shards]
    known = [(looked_at, stop) for looked_at, stop in stated if looked_at is not None]
    if not known:
        return {}
    n_looked_at, stop = max(known)
    return {"n_looked_at": n_looked_at, "n_left_out": n_looked_at - stop}


def _distinct_units(
    stimuli: NDArray[np.int64], units: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the places of the distinct units, as they are stored and in the order of stimulus and unit."""
    order = np.lexsort((units, stimuli))
    is_new = np.ones(len(order), dtype=bool)
    is_new[1:] = (np.diff(stimuli[order]) != 0) | (np.diff(units[order]) != 0)
    by_unit = order[is_new]
    return np.sort(by_unit), by_unit


def _mean(values: NDArray[np.float64]) -> float:
    """Return the mean of the values that are known, NaN if none is."""
    known = ~np.isnan(values)
    return float(np.where(known, values, 0).sum() / known.sum()) if known.any() else float("nan")


def _median(values: NDArray[np.float64]) -> float:
    """Return the median of the values that are known, NaN if none is."""
    known = values[~np.isnan(values)]
    return float(np.median(known)) if len(known) else float("nan")
