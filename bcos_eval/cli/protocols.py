"""`bcos-eval protocols`: which conclusions depend on the preset of a metric."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal, get_args

import click

from bcos_eval.errors import InputError
from bcos_eval.spelling import split_names

from .catalogue import catalogue
from .names import registered_names
from .output import chosen_format, deliver
from .request_options import request_options, requested

Format = Literal["md", "csv", "json"]
_FORMATS: tuple[Format, ...] = get_args(Format)
_DEFAULT_METRIC = "grid_pg"


@click.command("protocols")
@request_options
@click.option("--batch-size", default="auto", help="Stimuli per batch, or auto.")
@click.option(
    "--format",
    "style",
    type=click.Choice(_FORMATS),
    help="Form of the table.  [default: by the suffix of --table, else md]",
)
@click.option("--table", type=click.Path(path_type=Path), help="Write to this file and not to standard output.")
def protocols_command(
    out: Path,
    quiet: bool,
    style: Format | None,
    table: Path | None,
    **options: Any,  # noqa: ANN401 - click's values
) -> None:
    """Score the same maps under every preset of a metric and say which conclusions flip.

    A metric without a preset stands for all of its presets, grid_pg if none is named. Maps are computed once for
    all presets of one kind of stimulus, and stored as by run. Methods are compared on each model and models under
    each method; a pair turns round where one is ahead under a preset and the other under another.
    """
    metrics = _all_presets(options["metric"] or (_DEFAULT_METRIC,))
    request = requested({**options, "metric": metrics, "executor": "local"})

    from bcos_eval.engine.progress import Progress
    from bcos_eval.engine.run import run
    from bcos_eval.reports.comparison.protocols import protocol_tables, protocols_text
    from bcos_eval.reports.comparison.unit_matrix import comparable_units

    result = run(request, out, progress=Progress(quiet=quiet))
    tables = protocol_tables(comparable_units(result.shards))
    deliver("protocols", protocols_text(tables, chosen_format(style, table, _FORMATS)), table)


def _all_presets(given: Sequence[str]) -> tuple[str, ...]:
    """Return every preset of the metrics that are named without one, and the presets that are named.

    Raises:
        InputError: If a metric is not registered, or what is named has a single preset.
    """
    rows = [str(row["name"]) for row in catalogue().rows("metrics")]
    found: dict[str, None] = {}
    for text in split_names(given):
        for name in registered_names("metric", [text]):
            family = [row for row in rows if row.partition("/")[0] == name.partition("/")[0]]
            found.update(dict.fromkeys([name] if "/" in text else sorted(family)))
    if len(found) < 2:
        raise InputError(f"--metric {', '.join(given)} is a single preset; name a metric that has several.")
    return tuple(found)
