"""The leaderboard: one row per dataset, model, method and metric, from stored units only."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from bcos_eval.errors import InputError
from bcos_eval.reports.comparison.statistics import bootstrap_interval, grouped_mean
from bcos_eval.store.atomic_write import atomic_path
from bcos_eval.store.manifest import cell_recency
from bcos_eval.store.shards import Store, StoredShard

from .status_counts import STATUS_COLUMNS, status_counts

LABEL_COLUMNS = ("dataset", "model", "weights", "method", "metric", "preset")
LEADERBOARD_COLUMNS = (
    *LABEL_COLUMNS,
    "n",
    "mean",
    "ci_low",
    "ci_high",
    "median",
    "q25",
    "q75",
    "chance",
    "n_zero",
    "n_nonfinite",
    "seconds_per_unit",
    "direction",
)

# protocols.md section 4.2: hits are counted per class, and the score is the mean over the classes that have
# a unit. Every other metric is the mean over its defined scores.
MEAN_OVER_CLASSES = frozenset({"pointing_game"})


def leaderboard(shards: Iterable[StoredShard]) -> pd.DataFrame:
    """Return the rows of a leaderboard, in the contract's columns.

    `n` counts the units with a defined score, on which mean, interval and quartiles rest; a zero map that scores
    0 is one of them. `chance` is the mean chance level of the same units. The interval is a 95 % percentile
    bootstrap over stimuli. Units that several shards hold (runs with different `--samples`) count once.

    Args:
        shards: Stored shards of any number of cells.
    """
    return counted_leaderboard(shards)[list(LEADERBOARD_COLUMNS)]


def counted_leaderboard(shards: Iterable[StoredShard]) -> pd.DataFrame:
    """Return the leaderboard and, after its columns, counts of constant maps, empty regions and skipped images."""
    units = stored_units(shards)
    rows = [
        {**dict(zip(LABEL_COLUMNS, labels, strict=True)), **_summary(cell)}
        for labels, cell in units.groupby(list(LABEL_COLUMNS), sort=True)
    ]
    further = [column for column in STATUS_COLUMNS if column not in LEADERBOARD_COLUMNS]
    return pd.DataFrame(rows, columns=[*LEADERBOARD_COLUMNS, *further])


def stored_units(shards: Iterable[StoredShard]) -> pd.DataFrame:
    """Return one row per distinct unit: the contract columns, `chance`, `direction` and `cell`."""
    frames = [
        shard.units.assign(
            chance=np.asarray(shard.chance, dtype=np.float64),
            direction=shard.facts.direction,
            cell=shard.facts.address.cell,
        )
        for shard in shards
    ]
    if not frames:
        return pd.DataFrame(columns=[*LABEL_COLUMNS, "stimulus", "unit", "cell"])
    units = pd.concat(frames, ignore_index=True)
    return units.drop_duplicates(["cell", "stimulus", "unit"]).reset_index(drop=True)


def current_shards(store: Store) -> tuple[list[StoredShard], int]:
    """Return the shards a table is made of, and how many cells are left out.

    Cells with the same labels (another seed, another version, other data) are different measurements: the one
    asked for last is shown.
    """
    recency = cell_recency(store.root)
    shards = list(store.shards())
    newest: dict[tuple[str, ...], str] = {}
    for shard in shards:
        labels, cell = _labels(shard), shard.facts.address.cell
        rival = newest.setdefault(labels, cell)
        if (recency.get(cell, -1), cell) > (recency.get(rival, -1), rival):
            newest[labels] = cell
    kept = set(newest.values())
    cells = {shard.facts.address.cell for shard in shards}
    return [shard for shard in shards if shard.facts.address.cell in kept], len(cells - kept)


def left_out_notes(store: Store, n_older_cells: int) -> list[str]:
    """Say what the shards of `current_shards` leave out: older cells, and the files of `damaged_notes`."""
    if not n_older_cells:
        return damaged_notes(store)
    older = (
        f"note: {n_older_cells} cells with another seed, version or data are left out; "
        "of each row the one asked for last is shown."
    )
    return [older, *damaged_notes(store)]


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


def write_leaderboard(table: pd.DataFrame, path: Path) -> None:
    """Write the rows as CSV, full precision, undefined numbers empty."""
    with atomic_path(path) as temporary:
        table.to_csv(temporary, index=False)


def _labels(shard: StoredShard) -> tuple[str, ...]:
    first = shard.units.iloc[0]  # no shard is empty
    return tuple(str(first[column]) for column in LABEL_COLUMNS)


def _summary(cell: pd.DataFrame) -> Mapping[str, object]:
    defined = cell[np.isfinite(cell["score"])].sort_values(["stimulus", "unit"])
    scores = defined["score"].to_numpy(np.float64)
    by_class = cell["metric"].iloc[0] in MEAN_OVER_CLASSES
    groups = defined["target"].to_numpy() if by_class else None
    low, high = bootstrap_interval(scores, defined["stimulus"].to_numpy(), groups)
    quartiles = np.quantile(scores, [0.25, 0.5, 0.75]) if len(scores) else np.full(3, np.nan)
    return {
        "n": len(scores),
        "mean": grouped_mean(scores, groups),
        "ci_low": low,
        "ci_high": high,
        "median": quartiles[1],
        "q25": quartiles[0],
        "q75": quartiles[2],
        "chance": defined["chance"].mean(),
        **status_counts(cell),
        "seconds_per_unit": cell["seconds"].mean(),
        "direction": cell["direction"].iloc[0],
    }
