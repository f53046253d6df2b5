"""What the commands on stored results share: the shards that a table is made of, and a word on those left out."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from bcos_eval.reports.results import Results
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


def stored_results(folders: Sequence[Path]) -> Results:
    """Return the results of some folders, of `runs` if none is named; say what their table leaves out.

    Raises:
        InputError: If a folder holds no results.
    """
    from bcos_eval.reports.results import Results

    results = Results.unchecked(folders or (DEFAULT_OUT,))
    for text in (*results.board.notes, *results.board.damaged):
        echo_note(text)
    results.require_some()
    return results


def echo_note(text: str) -> None:
    """Print a note where it stays out of a table."""
    click.echo(text, err=True)
