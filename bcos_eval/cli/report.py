"""`bcos-eval report`: one page of everything that is stored."""

from __future__ import annotations

from pathlib import Path

import click

from bcos_eval.errors import InputError

from .stored import DEFAULT_OUT

_MEGABYTE = 1e6


@click.command("report")
@click.argument("folders", metavar="[DIR...]", nargs=-1, type=click.Path(path_type=Path))
@click.option("--out", type=click.Path(path_type=Path), required=True, help="The page, a file ending in .html.")
def report_command(folders: tuple[Path, ...], out: Path) -> None:
    """Write one page of stored results: tables, figures, pictures.

    DIR is runs by default; the results of several are put together. The page needs no other file and no network.
    """
    if out.suffix.lower() not in (".html", ".htm"):
        raise InputError(f"--out '{out}' must end in .html; rename it.")

    from bcos_eval.reports.page import write_page
    from bcos_eval.reports.results import Results

    size = write_page(Results.of(folders or (DEFAULT_OUT,)), out)
    click.echo(f"{out} ({size / _MEGABYTE:.1f} MB)")
