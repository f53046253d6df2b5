"""`bcos-eval compare`: which differences between stored results mean something."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Literal, get_args

import click

from bcos_eval.errors import InputError
from bcos_eval.spelling import split_names

from .output import chosen_format, deliver
from .stored import stored_results

Format = Literal["md", "csv", "json"]
_FORMATS: tuple[Format, ...] = get_args(Format)


@click.command("compare")
@click.argument("names", metavar="[DIR...] [A B]", nargs=-1)
@click.option("--metric", multiple=True, help="Metric, NAME or NAME/PRESET; repeats, or commas.  [default: all]")
@click.option("--dataset", multiple=True, help="Dataset; repeats.  [default: all]")
@click.option(
    "--format",
    "style",
    type=click.Choice(_FORMATS),
    help="Form of the table.  [default: by the suffix of --out, else md]",
)
@click.option("--out", type=click.Path(path_type=Path), help="Write to this file and not to standard output.")
def compare_command(
    names: tuple[str, ...],
    metric: tuple[str, ...],
    dataset: tuple[str, ...],
    style: Format | None,
    out: Path | None,
) -> None:
    """Compare methods or models on the same units, with tests and effect sizes.

    A and B are MODEL:METHOD, or METHOD (on each model that has both), or MODEL (each method that both have).
    Without A and B, all pairs of methods of each model and metric. DIR is runs by default; the results of several
    are put together. Each row has the difference with its interval, the test, the effect size, and how often
    resampling turns the order round.
    """
    from bcos_eval.reports.comparison.contender_names import rows_of_datasets, rows_of_metrics
    from bcos_eval.reports.comparison.report import compare_named, compare_within
    from bcos_eval.reports.comparison.text import comparison_text

    folders, contenders = _folders_and_contenders(names)
    units = stored_results(folders).comparable
    units = rows_of_metrics(rows_of_datasets(units, split_names(dataset)), metric)
    report = compare_named(units, *contenders) if contenders else compare_within(units)
    for note in report.notes:
        click.echo(f"note: left out: {note}", err=True)
    deliver("comparison", comparison_text(report, chosen_format(style, out, _FORMATS)), out)


def _folders_and_contenders(names: Sequence[str]) -> tuple[list[Path], tuple[str, str] | None]:
    # A folder may be called like a model; the one named first is looked for first.
    n_folders = next((at for at, name in enumerate(names) if not Path(name).is_dir()), len(names))
    folders = [Path(name) for name in names[:n_folders]]
    match names[n_folders:]:
        case ():
            return folders, None
        case (first, second):
            return folders, (first, second)
        case (folder, *_, _, _) if n_folders == 0:
            raise InputError(f"'compare {' '.join(names)}': there is no folder '{folder}'.")
    raise InputError(f"'compare {' '.join(names)}' is not clear; write compare [DIR...] [A B].")
