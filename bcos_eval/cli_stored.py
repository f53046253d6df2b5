"""What the commands on stored results share: the shards that a table is made of, and a word on those left out."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from bcos_eval.engine.store import Store, StoredShard


def stored_shards(folder: Path) -> Sequence[StoredShard]:
    """Return the shards that a table of a folder is made of; say on standard error what is left out.

    Raises:
        InputError: If the folder holds no results.
    """
    from bcos_eval.engine.store import Store
    from bcos_eval.reports.leaderboard import require_results

    store = Store(folder)
    shards = shards_with_notes(store)
    require_results(shards, folder)
    return shards


def shards_with_notes(store: Store) -> Sequence[StoredShard]:
    """Return the shards that a table of a store is made of, none perhaps; say what is left out."""
    from bcos_eval.reports.leaderboard import current_shards

    shards, n_older_cells = current_shards(store)
    if n_older_cells:
        click.echo(
            f"note: {n_older_cells} cells with another seed, version or data are left out; "
            "of each row the one asked for last is shown.",
            err=True,
        )
    note_damaged(store)
    return shards


def note_damaged(store: Store) -> None:
    """Name the files that could not be read: without them a table has fewer units than were computed."""
    for path in dict.fromkeys(store.ignored):
        click.echo(
            f"note: left out '{path}', which is damaged or of another version; the same `run` computes it again.",
            err=True,
        )
