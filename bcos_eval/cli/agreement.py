"""`bcos-eval agreement`: which metrics put the methods in the same order."""

from __future__ import annotations

from pathlib import Path
from typing import Literal, get_args

import click

from .output import chosen_format, deliver
from .stored import DEFAULT_OUT, stored_results

Format = Literal["md", "csv", "json"]
_FORMATS: tuple[Format, ...] = get_args(Format)


@click.command("agreement")
@click.argument("folder", metavar="[DIR]", type=click.Path(path_type=Path), default=DEFAULT_OUT)
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
    folder: Path,
    across: Literal["metrics", "models"],
    controls: bool,
    style: Format | None,
    out: Path | None,
) -> None:
    """Say which metrics put the methods in the same order.

    They do as far as the ranks of the methods' stored means are correlated. DIR is runs by default.
    """
    import pandas as pd

    from bcos_eval.reports.comparison.agreement import agreement_text, agreements

    rows = stored_results([folder]).rows
    left_out = {row["method"] for row in rows if row["is_control"] and not controls}
    found = agreements(pd.DataFrame(rows), across, without=left_out)
    deliver("agreement", agreement_text(found, chosen_format(style, out, _FORMATS)), out)
