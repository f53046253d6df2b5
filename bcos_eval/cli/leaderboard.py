"""`bcos-eval leaderboard`."""

from __future__ import annotations

from pathlib import Path
from typing import Literal, get_args

import click

from .output import chosen_format, deliver
from .stored import stored_rows

Format = Literal["md", "csv", "html", "latex"]
_FORMATS: tuple[Format, ...] = get_args(Format)


@click.command("leaderboard")
@click.argument("folders", metavar="[DIR...]", nargs=-1, type=click.Path(path_type=Path))
@click.option("--wide", is_flag=True, help="A row per model and method, a column per metric, the best in bold.")
@click.option("--sort", metavar="METRIC", help="Order models and methods by this metric, best first.")
@click.option(
    "--only",
    multiple=True,
    metavar="KEY=VALUE,…",
    help="Rows with these values of dataset, model, weights, method or metric, which may hold wildcards; repeats.",
)
@click.option("--full", is_flag=True, help="Show rare columns too: median, counts of zero, time; wide, intervals.")
@click.option("--out", type=click.Path(path_type=Path), help="Write to this file and not to standard output.")
@click.option(
    "--format",
    "style",
    type=click.Choice(_FORMATS),
    help="Form of the table.  [default: by the ending of --out, else md]",
)
def leaderboard_command(
    folders: tuple[Path, ...],
    wide: bool,
    sort: str | None,
    only: tuple[str, ...],
    full: bool,
    out: Path | None,
    style: Format | None,
) -> None:
    """Print the leaderboard of stored results.

    DIR is runs by default; the results of several are put together.
    """
    form = chosen_format(style, out, _FORMATS)

    from bcos_eval.reports.tables.selection import parse_only, selected, sorted_by
    from bcos_eval.reports.tables.table import render
    from bcos_eval.reports.tables.wide import render_wide

    chosen = parse_only(only)
    rows = selected(stored_rows(folders), chosen)
    rows = sorted_by(rows, sort) if sort else rows
    deliver("leaderboard", render_wide(rows, form, full=full) if wide else render(rows, form, full=full), out)
