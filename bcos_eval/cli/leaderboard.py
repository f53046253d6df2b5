"""`bcos-eval leaderboard`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal, get_args

import click

from bcos_eval.errors import InputError

from .output import chosen_format, deliver
from .stored import echo_note, stored_results

if TYPE_CHECKING:
    from bcos_eval.reports.results import Results
    from bcos_eval.reports.tables.table import Row

Format = Literal["md", "csv", "html", "latex"]
_FORMATS: tuple[Format, ...] = get_args(Format)


@click.command("leaderboard")
@click.argument("folders", metavar="[DIR...]", nargs=-1, type=click.Path(path_type=Path))
@click.option(
    "--wide", is_flag=True, help="A row per model and method, a column per metric, with ties and mean ranks."
)
@click.option("--sort", metavar="METRIC", help="Order models and methods by this metric, best first.")
@click.option(
    "--only",
    multiple=True,
    metavar="KEY=VALUE,…",
    help="Rows with these values of dataset, model, weights, method or metric, which may hold wildcards; repeats.",
)
@click.option(
    "--target", type=click.IntRange(0), metavar="INDEX", help="Units that were explained for this class alone."
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
    target: int | None,
    full: bool,
    out: Path | None,
    style: Format | None,
) -> None:
    """Print the leaderboard of stored results.

    DIR is runs by default; the results of several are put together.
    """
    form = chosen_format(style, out, _FORMATS)

    from bcos_eval.reports.tables.selection import controls_last, parse_only, selected, sorted_by
    from bcos_eval.reports.tables.table import render
    from bcos_eval.reports.tables.wide import wide_csv

    chosen = parse_only(only)
    results = stored_results(folders)
    rows = selected(results.rows if target is None else _rows_of_target(results, target, wide), chosen)
    rows = sorted_by(rows, sort) if sort else controls_last(rows) if wide else rows
    if not wide:
        text = render(rows, form, full=full)
    else:
        text = wide_csv(rows) if form == "csv" else _wide_text(results, rows, form, full)
    deliver("leaderboard", text, out)


def _rows_of_target(results: Results, target: int, wide: bool) -> Sequence[Row]:
    from bcos_eval.reports.tables.leaderboard import leaderboard_rows, of_target

    if wide:
        raise InputError("--wide tests ties over all classes; leave out --target or --wide.")
    rows = leaderboard_rows(of_target(results.shards, target))
    if not rows:
        raise InputError(f"--target {target}: no unit of {results.named} was explained for it.")
    return rows


def _wide_text(results: Results, rows: Sequence[Row], form: Literal["md", "html", "latex"], full: bool) -> str:
    from bcos_eval.reports.tables.wide import render_wide

    standings = results.standings_of(rows)
    for note in standings.notes:
        echo_note(f"note: ties are not tested: {note}")
    return render_wide(rows, form, standings, full=full)
