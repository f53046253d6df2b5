"""What the commands on stored results share: the shards that a table is made of, and a word on those left out."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from bcos_eval.reports.tables.table import Row
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


def stored_rows(folders: Sequence[Path]) -> Sequence[Row]:
    """Return the rows of the leaderboard of some folders, of `runs` if none is named; say what is left out.

    Raises:
        InputError: If a folder holds no results.
    """
    from bcos_eval.reports.tables.leaderboard import require_results
    from bcos_eval.reports.tables.stored import stored_leaderboard

    board = stored_leaderboard(folders or (DEFAULT_OUT,))
    for text in (*board.notes, *board.damaged):
        echo_note(text)
    for folder in board.empty:
        require_results([], folder)
    return board.rows


def echo_note(text: str) -> None:
    """Print a note where it stays out of a table."""
    click.echo(text, err=True)
