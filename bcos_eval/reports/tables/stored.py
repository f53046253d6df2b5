"""The leaderboard of folders of results, whose rows are computed once and kept beside the scores.

A row depends on the shards of its cell and on the code that summarises them. `OUT/cache/leaderboard.json` keeps
rows under the digests of both, so that an unchanged folder is only read and not computed again. The cache can be
deleted at any time, and a folder that cannot be written to is read without it.
"""

from __future__ import annotations

import hashlib
import math
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from bcos_eval import statistics
from bcos_eval.errors import InputError
from bcos_eval.store.atomic_write import write_bytes
from bcos_eval.store.facts import ShardAddress
from bcos_eval.store.integrity import Finding
from bcos_eval.store.manifest import cell_recency, planned_units, stopping_widths
from bcos_eval.store.sealed import DamagedFileError, read_sealed_json, sealed_json
from bcos_eval.store.shards import Store

from . import leaderboard
from .leaderboard import current_shards, damaged_notes, leaderboard_rows, older_note, summary
from .table import LABEL_COLUMNS, LEADERBOARD_COLUMNS, Row, csv_text, json_value

LEADERBOARD_NAME = "leaderboard.csv"
_CACHE = Path("cache", "leaderboard.json")


@dataclass(frozen=True, slots=True)
class StoredLeaderboard:
    """A leaderboard with the cells behind it.

    Attributes:
        rows: Rows as `leaderboard_rows` makes them, in the order of their labels.
        cells: The folder of scores behind each row.
        notes: Which measurements are left out, a line each.
        damaged: Which files could not be read, likewise.
        empty: Folders without a readable score.
    """

    rows: list[Row]
    cells: list[str]
    notes: list[str]
    damaged: list[str]
    empty: list[Path]


def stored_leaderboard(folders: Sequence[Path | Store]) -> StoredLeaderboard:
    """Return the leaderboard of some folders of results, or of stores that have been looked at, put together.

    Shards of one cell that lie in several folders are put together, as runs of parts make them. Of cells with the
    same labels (another seed, another version, other data) the one asked for last is shown; where folders differ,
    that of the folder named first.
    """
    given = [folder if isinstance(folder, Store) else Store(folder) for folder in folders]
    stores = [*{store.root: store for store in reversed(given)}.values()][::-1]
    homes: dict[str, list[Store]] = {}
    for store in stores:
        for cell in store.cells():
            homes.setdefault(cell, []).append(store)
    board = _Board()
    for store in stores:
        own = [(cell, stores_of) for cell, stores_of in homes.items() if stores_of[0] is store]
        board.add(store, _summaries(store, own))
    return board.finished(stores)


def leaderboard_findings(folder: Path) -> Iterator[Finding]:
    """Yield a finding if the `leaderboard.csv` of a folder is not what its units say, summarised anew."""
    path = folder / LEADERBOARD_NAME
    if not path.is_file():
        return
    rows = leaderboard_rows(current_shards(Store(folder))[0], planned_units(folder), stopping_widths(folder))
    if path.read_bytes() != csv_text(rows, LEADERBOARD_COLUMNS).encode():
        yield Finding(path, "does not follow from the stored units; `bcos-eval leaderboard` makes it again.")


@dataclass(slots=True)
class _Board:
    """Rows by their labels, each with its folder and cell."""

    kept: dict[tuple[str, ...], tuple[Store, str, Row]] = field(default_factory=dict)
    n_read: Counter[Path] = field(default_factory=Counter)
    n_older: Counter[Path] = field(default_factory=Counter)
    outdone: Counter[tuple[Path, Path]] = field(default_factory=Counter)

    def add(self, store: Store, rows: Iterable[tuple[str, Row, set[Path]]]) -> None:
        recency, planned = cell_recency(store.root), planned_units(store.root)
        for cell, row, sources in rows:
            self.n_read.update(sources)
            row = {**row, "n_planned": planned.get(cell)}
            labels = tuple(row[column] for column in LABEL_COLUMNS)
            home, rival, _ = self.kept.setdefault(labels, (store, cell, row))
            if home is not store:
                self.outdone[home.root, store.root] += 1
            elif rival != cell:
                self.n_older[store.root] += 1
                if (recency.get(cell, -1), cell) > (recency.get(rival, -1), rival):
                    self.kept[labels] = (store, cell, row)

    def finished(self, stores: Sequence[Store]) -> StoredLeaderboard:
        notes = [older_note(self.n_older[store.root]) for store in stores if self.n_older[store.root]]
        notes += [
            f"note: {n} rows of '{other}' are measured otherwise in '{first}', whose are shown."
            for (first, other), n in self.outdone.items()
        ]
        chosen = [self.kept[labels] for labels in sorted(self.kept)]
        damaged = [note for store in stores for note in damaged_notes(store)]
        empty = [store.root for store in stores if not self.n_read[store.root]]
        rows, cells = [row for _, _, row in chosen], [cell for _, cell, _ in chosen]
        return StoredLeaderboard(rows, cells, notes, damaged, empty)


def _summaries(store: Store, cells: Sequence[tuple[str, Sequence[Store]]]) -> Iterator[tuple[str, Row, set[Path]]]:
    """Yield cells, their rows and the folders these are made of; what is kept already is not computed again."""
    code, before, widths = _code_digest(), _read_cache(store.root), stopping_widths(store.root)
    after: dict[str, Any] = {}
    for cell, homes in cells:
        digests = {
            address.shard: (home, digest)
            for home in reversed(homes)
            for address, digest in home.digests(cell).items()
        }
        names = sorted(digests)
        until = widths.get(cell)
        parts = [code, repr(until), *(digests[name][1] for name in names)]
        digest = hashlib.sha256("\n".join(parts).encode()).hexdigest()
        kept = before.get(cell)
        if kept is None or kept["digest"] != digest:
            shards = {name: digests[name][0].read(ShardAddress(cell, name)) for name in names}
            ours = [shard for shard in shards.values() if shard is not None]
            foreign = [name for name, shard in shards.items() if shard is None]
            kept = {"digest": digest, "foreign": foreign, "row": summary(ours, until) if ours else None}
        else:
            for name in kept["foreign"]:
                home = digests[name][0]
                home.ignored.append(home.units_path(ShardAddress(cell, name)))
        after[cell] = kept
        if kept["row"] is not None:
            yield cell, kept["row"], {home.root for home, _ in digests.values()}
    if after != before:
        _write_cache(store.root, after)


def _read_cache(root: Path) -> dict[str, Any]:
    try:
        cells = read_sealed_json(root / _CACHE)["cells"]
        return {
            cell: {**kept, "row": kept["row"] and {key: _known(value) for key, value in kept["row"].items()}}
            for cell, kept in cells.items()
        }
    except (FileNotFoundError, DamagedFileError, KeyError, TypeError, AttributeError):
        return {}


def _write_cache(root: Path, cells: Mapping[str, Any]) -> None:
    plain = {
        cell: {**kept, "row": kept["row"] and {key: json_value(value) for key, value in kept["row"].items()}}
        for cell, kept in cells.items()
    }
    try:
        write_bytes(root / _CACHE, sealed_json({"cells": plain}))
    except InputError:
        return  # a folder that may only be read is read without a cache


def _known(value: object) -> object:
    return math.nan if value is None else value


@cache
def _code_digest() -> str:
    """Identify the code that summarises a cell: its rows change when it does, whatever the version is called."""
    home = Path(statistics.__file__).parent
    files = [Path(leaderboard.__file__), *sorted(home.glob("*.py"))]
    return hashlib.sha256(b"\n".join(path.read_bytes() for path in files)).hexdigest()
