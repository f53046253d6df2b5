"""`bcos-eval agreement`: which metrics put the methods in the same order."""

from __future__ import annotations

from pathlib import Path
from typing import Literal, get_args

import click

from .output import chosen_format, deliver
from .stored import stored_results

Format = Literal["md", "csv", "json"]
_FORMATS: tuple[Format, ...] = get_args(Format)


@click.command("agreement")
@click.argument("folders", metavar="[DIR...]", nargs=-1, type=click.Path(path_type=Path))
@click.option(
    "--across",
    type=click.Choice(["metrics", "models"]),
    default="metrics",
    help="Whose rankings of the methods are compared: metrics on a model, or models by a metric.",
)
@click.option("--controls/--no-controls", default=True, help="Rank random, uniform, center and edges too.")
@click.option(
    "--format",
    "style",
    type=click.Choice(_FORMATS),
    help="Form of the table.  [default: by the suffix of --out, else md]",
)
@click.option("--out", type=click.Path(path_type=Path), help="Write to this file and not to standard output.")
def agreement_command(
    folders: tuple[Path, ...],
    across: Literal["metrics", "models"],
    controls: bool,
    style: Format | None,
    out: Path | None,
) -> None:
    """Say which metrics put the methods in the same order.

    They do as far as the ranks of the methods' stored means are correlated. Where maps of the method degraded are
    stored at several values of its noise, also say how far each metric puts them in their order. DIR is runs by
    default; the results of several are put together.
    """
    from bcos_eval.reports.comparison.agreement import agreement_text

    found, recovered = stored_results(folders).agreements(across, controls=controls)
    deliver("agreement", agreement_text(found, chosen_format(style, out, _FORMATS), recovered), out)
