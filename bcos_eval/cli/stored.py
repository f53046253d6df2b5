"""What the commands on stored results share: the results of some folders, and a word on what is left out."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from bcos_eval.reports.results import Results

# Where `run` stores results, and the commands that read them look, if no folder is named.
DEFAULT_OUT = Path("runs")


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
