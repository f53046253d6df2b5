"""`bcos-eval compare` and `bcos-eval agreement`: which differences between stored results mean something."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import click

from bcos_eval.errors import InputError

from .run import DEFAULT_OUT
from .stored import stored_shards


@click.command("compare")
@click.argument("names", metavar="[DIR] [A B]", nargs=-1)
@click.option("--metric", multiple=True, help="Metric, NAME or NAME/PRESET; repeats.  [default: all]")
@click.option("--dataset", multiple=True, help="Dataset; repeats.  [default: all]")
@click.option(
    "--format",
    "style",
    type=click.Choice(["md", "csv", "json"]),
    help="Form of the table.  [default: by the suffix of --out, else md]",
)
@click.option("--out", type=click.Path(path_type=Path), help="Write to this file and not to standard output.")
def compare_command(
    names: tuple[str, ...],
    metric: tuple[str, ...],
    dataset: tuple[str, ...],
    style: Literal["md", "csv", "json"] | None,
    out: Path | None,
) -> None:
    """Compare A with B on the same units: difference, interval, test, effect size, how often the order flips.

    A and B are MODEL:METHOD, or METHOD (on each model that has both), or MODEL (each method that both have).
    Without A and B, all pairs of methods of each model and metric. DIR is runs by default.
    """
    from bcos_eval.engine.request import split_names
    from bcos_eval.reports.comparison.contender_names import rows_of_datasets, rows_of_metrics
    from bcos_eval.reports.comparison.report import compare_named, compare_within
    from bcos_eval.reports.comparison.text import comparison_text
    from bcos_eval.reports.comparison.unit_matrix import comparable_units

    folder, contenders = _folder_and_contenders(names)
    units = comparable_units(stored_shards(folder))
    units = rows_of_metrics(rows_of_datasets(units, split_names(dataset)), metric)
    report = compare_named(units, *contenders) if contenders else compare_within(units)
    for note in report.notes:
        click.echo(f"note: left out: {note}", err=True)
    _deliver("comparison", comparison_text(report, style or _style_of(out)), out)


def _folder_and_contenders(names: Sequence[str]) -> tuple[Path, tuple[str, str] | None]:
    match names:
        case ():
            return DEFAULT_OUT, None
        case (folder,) if Path(folder).is_dir():
            return Path(folder), None
        case (first, second) if not Path(first).is_dir():
            return DEFAULT_OUT, (first, second)
        case (folder, first, second):
            return Path(folder), (first, second)
    raise InputError(f"'compare {' '.join(names)}' is not clear; write compare [DIR] [A B].")


def _style_of(out: Path | None) -> Literal["md", "csv", "json"]:
    suffixes: dict[str, Literal["md", "csv", "json"]] = {".csv": "csv", ".json": "json"}
    return "md" if out is None else suffixes.get(out.suffix.lower(), "md")


def _deliver(what: str, text: str, out: Path | None) -> None:
    from bcos_eval.store.atomic_write import require_writable, write_text

    if out is None:
        click.echo(text, nl=False)
        return
    require_writable(out.parent)
    write_text(out, text)
    click.echo(f"{what}: {out}")


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
    type=click.Choice(["md", "csv", "json"]),
    help="Form of the table.  [default: by the suffix of --out, else md]",
)
@click.option("--out", type=click.Path(path_type=Path), help="Write to this file and not to standard output.")
def agreement_command(
    folder: Path,
    across: Literal["metrics", "models"],
    controls: bool,
    style: Literal["md", "csv", "json"] | None,
    out: Path | None,
) -> None:
    """Say which metrics put the methods in the same order: rank correlations of stored means (DIR is runs)."""
    from bcos_eval.reports.comparison.agreement import CONTROLS, agreements
    from bcos_eval.reports.comparison.agreement_text import agreement_text
    from bcos_eval.reports.tables.leaderboard import leaderboard

    found = agreements(leaderboard(stored_shards(folder)), across, without=frozenset() if controls else CONTROLS)
    _deliver("agreement", agreement_text(found, style or _style_of(out)), out)
