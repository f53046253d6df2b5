"""`bcos-eval aggatt`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from .request_options import request_options, requested


@click.command("aggatt")
@request_options
def aggatt_command(out: Path, quiet: bool, **options: Any) -> None:  # noqa: ANN401 - click's values
    """Draw mean attributions of grids ranked by score (AggAtt).

    For difull, dipart and grid_pg.
    """
    request = requested({**options, "batch_size": "auto", "executor": "local"})

    from bcos_eval.engine.aggregate import aggregate_attributions
    from bcos_eval.engine.progress import Progress
    from bcos_eval.reports.figures.figures import draw
    from bcos_eval.reports.results import Results

    aggregate_attributions(request, out, progress=Progress(quiet=quiet))
    for path in draw(Results.unchecked([out]), ["aggatt"], out / "aggatt"):
        click.echo(path)
