"""`bcos-eval leaderboard` and `bcos-eval figures`: what can be had from a store without a model."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import click

from .run import DEFAULT_OUT
from .stored import echo_note, stored_shards


@click.command("leaderboard")
@click.argument("folder", metavar="[DIR]", type=click.Path(path_type=Path), default=DEFAULT_OUT)
@click.option("--out", type=click.Path(path_type=Path), help="Write to this file and not to standard output.")
@click.option(
    "--format",
    "style",
    type=click.Choice(["csv", "md", "html"]),
    help="Form of the table.  [default: by the suffix of --out, else md]",
)
def leaderboard_command(folder: Path, out: Path | None, style: Literal["csv", "md", "html"] | None) -> None:
    """Print the leaderboard of stored results (DIR is runs by default)."""
    from bcos_eval.reports.tables.leaderboard import counted_leaderboard
    from bcos_eval.reports.tables.table import render, style_of
    from bcos_eval.store.atomic_write import require_writable, write_text

    text = render(counted_leaderboard(stored_shards(folder)), style or style_of(out))
    if out is None:
        click.echo(text, nl=False)
        return
    require_writable(out.parent)
    write_text(out, text)
    click.echo(f"leaderboard: {out}")


@click.command("figures")
@click.argument("folder", metavar="[DIR]", type=click.Path(path_type=Path), default=DEFAULT_OUT)
@click.option("--only", multiple=True, help="Figure name; repeats and accepts commas.  [default: all]")
@click.option("--out", type=click.Path(path_type=Path), required=True, help="Folder for the figures.")
def figures_command(folder: Path, only: tuple[str, ...], out: Path) -> None:
    """Draw figures from stored results (DIR is runs by default)."""
    from bcos_eval.engine.request import split_names
    from bcos_eval.reports.figures.figures import draw
    from bcos_eval.store.atomic_write import require_writable

    require_writable(out)
    for path in draw(folder, split_names(only), out, note=echo_note):
        click.echo(path)
