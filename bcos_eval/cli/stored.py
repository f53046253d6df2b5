"""What the commands on stored results share: the shards that a table is made of, and a word on those left out."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from bcos_eval.store.shards import StoredShard

# Where `run` stores results, and the commands that read them look, if no folder is named.
DEFAULT_OUT = Path("runs")


def stored_shards(folder: Path) -> Sequence[StoredShard]:
    """Return the shards that a table of a folder is made of; say on standard error what is left out.

    Raises:
        InputError: If the folder holds no results.
    """
    from bcos_eval.reports.tables.leaderboard import current_shards, left_out_notes, require_results
    from bcos_eval.store.shards import Store

    store = Store(folder)
    shards, n_older_cells = current_shards(store)
    for text in left_out_notes(store, n_older_cells):
        echo_note(text)
    require_results(shards, folder)
    return shards


def merged_shards(folders: Sequence[Path]) -> Sequence[StoredShard]:
    """Return the shards that a table of several folders is made of, see `stored_shards`; of none, of `runs`.

    Rows that two folders have from different measurements (another seed, other data) are those of the folder named
    first.

    Raises:
        InputError: If a folder holds no results.
    """
    from bcos_eval.reports.tables.leaderboard import shard_labels

    homes: dict[tuple[str, ...], tuple[str, Path]] = {}
    merged: list[StoredShard] = []
    outdone: dict[tuple[str, ...], tuple[Path, Path]] = {}
    for folder in folders or (DEFAULT_OUT,):
        for shard in stored_shards(folder):
            labels, cell = shard_labels(shard), shard.facts.address.cell
            first_cell, first_folder = homes.setdefault(labels, (cell, folder))
            if cell == first_cell:
                merged.append(shard)
            else:
                outdone[labels] = (first_folder, folder)
    for (first, other), n in Counter(outdone.values()).items():
        echo_note(f"note: {n} rows of '{other}' are measured otherwise in '{first}', whose are shown.")
    return merged


def echo_note(text: str) -> None:
    """Print a note where it stays out of a table."""
    click.echo(text, err=True)
