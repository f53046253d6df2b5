"""`bcos-eval leaderboard`."""

from __future__ import annotations

from pathlib import Path
from typing import Literal, get_args

import click

from .output import chosen_format, deliver
from .stored import DEFAULT_OUT, stored_shards

Format = Literal["md", "csv", "html"]
_FORMATS: tuple[Format, ...] = get_args(Format)


@click.command("leaderboard")
@click.argument("folder", metavar="[DIR]", type=click.Path(path_type=Path), default=DEFAULT_OUT)
@click.option("--out", type=click.Path(path_type=Path), help="Write to this file and not to standard output.")
@click.option(
    "--format",
    "style",
    type=click.Choice(_FORMATS),
    help="Form of the table.  [default: by the suffix of --out, else md]",
)
def leaderboard_command(folder: Path, out: Path | None, style: Format | None) -> None:
    """Print the leaderboard of stored results.

    DIR is runs by default.
    """
    from bcos_eval.reports.tables.leaderboard import leaderboard_rows
    from bcos_eval.reports.tables.table import render

    text = render(leaderboard_rows(stored_shards(folder)), chosen_format(style, out, _FORMATS))
    deliver("leaderboard", text, out)
