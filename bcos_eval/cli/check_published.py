"""`bcos-eval check-published`: how stored results compare with published numbers."""

from __future__ import annotations

from pathlib import Path
from typing import Literal, get_args

import click

from .output import chosen_format, deliver
from .stored import stored_results

Format = Literal["md", "csv", "json"]
_FORMATS: tuple[Format, ...] = get_args(Format)


@click.command("check-published")
@click.argument("folders", metavar="[DIR …]", type=click.Path(path_type=Path), nargs=-1)
@click.option(
    "--table",
    "tables",
    multiple=True,
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Published numbers of your own, a CSV file like the shipped ones; repeats.  [default: those]",
)
@click.option("--all/--measured", "with_missing", default=False, help="List numbers without a counterpart, too.")
@click.option(
    "--format",
    "style",
    type=click.Choice(_FORMATS),
    help="Form of the table.  [default: by the suffix of --out, else md]",
)
@click.option("--out", type=click.Path(path_type=Path), help="Write to this file and not to standard output.")
def check_published_command(
    folders: tuple[Path, ...],
    tables: tuple[Path, ...],
    with_missing: bool,
    style: Format | None,
    out: Path | None,
) -> None:
    """Compare stored results with published numbers, and say which cannot be compared and why.

    DIR is runs by default. Shipped are the grid pointing game of 24 official B-cos models, the top-1 accuracy of
    all 34, RISE's deletion and insertion, and CoDA's localisation on CIFAR-10 (results/published).
    """
    from bcos_eval.reports.published.check import check
    from bcos_eval.reports.published.text import check_text
    from bcos_eval.reports.published.values import shipped_values, values_from_csv

    homes = stored_results(folders).folders
    given = [value for path in tables for value in values_from_csv(path.read_text(encoding="utf-8"), str(path))]
    answers = check(given if tables else shipped_values(), homes)
    deliver("check", check_text(answers, chosen_format(style, out, _FORMATS), with_missing=with_missing), out)
