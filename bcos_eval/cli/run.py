"""`bcos-eval run`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from .exit_codes import EXIT_FAILED
from .request_options import request_options, requested
from .stored import echo_note


@click.command("run")
@request_options
@click.option(
    "--until",
    type=float,
    metavar="WIDTH",
    help="Stop a row of the leaderboard when the half-width of its interval, which holds whenever one stops, is "
    "below WIDTH; --samples is the most.",
)
@click.option("--batch-size", default="auto", help="Stimuli per batch, or auto.")
@click.option("--workers", type=int, default=1, help="Processes that compute, each with one thread or one GPU.")
@click.option(
    "--shard",
    metavar="I/N",
    help="Compute every N-th task, beginning with number I.  [default: as Slurm, torchrun or Kubernetes say]",
)
@click.option("--executor", default="local", help="Who computes: local, or ray for actors of Ray.")
@click.option("--address", help="Address of a Ray cluster; without, Ray starts on this machine.")
@click.option("--gpus-per-worker", type=float, help="GPUs of a Ray worker, also a part of one.")
@click.option("--fail-fast", is_flag=True, help="End at the first unit on which code raises.")
@click.option("--retry-failed", is_flag=True, help="Compute again what has failed units.")
@click.option(
    "--unit-timeout",
    type=float,
    metavar="SECONDS",
    help="What a method or metric may take for one stimulus, which fails otherwise.",
)
@click.option("--verbose", is_flag=True, help="Tell of each task; the file run.log in --out does always.")
@click.option("--keep-maps", is_flag=True, help="Store the attributions too, OUT/maps/….safetensors.")
@click.option("--dry-run", is_flag=True, help="Print the plan, its passes, time and downloads.")
def run_command(
    out: Path,
    dry_run: bool,
    quiet: bool,
    verbose: bool,
    **options: Any,  # noqa: ANN401 - click's values
) -> None:
    """Evaluate explainers on models and print the leaderboard."""
    from bcos_eval.engine.fork_server import prepare_workers

    if options["workers"] > 1 and not dry_run:
        prepare_workers()
    request = requested(options)

    from bcos_eval.engine.progress import Progress
    from bcos_eval.engine.run import outline, run
    from bcos_eval.reports.tables.leaderboard import write_leaderboard
    from bcos_eval.reports.tables.stored import stored_leaderboard
    from bcos_eval.reports.tables.table import render
    from bcos_eval.store.shards import Store

    if dry_run:
        click.echo(outline(request, out, progress=Progress(quiet=quiet)), nl=False)
        return
    result = run(request, out, progress=Progress(quiet=quiet, verbose=verbose))
    path = out / "leaderboard.csv"
    board = stored_leaderboard([Store(out, states=result.store.states)])
    write_leaderboard(board.rows, path)
    for text in board.damaged:  # files of earlier runs: what this one found damaged is computed again
        echo_note(text)
    asked = {address.cell for address in result.addresses}
    rows = [row for row, cell in zip(board.rows, board.cells, strict=True) if cell in asked]
    click.echo(render(rows, "md"), nl=False)
    click.echo(f"leaderboard: {path}")
    n_stored = len(board.rows)
    if n_stored > len(rows):
        echo_note(f"note: the file has {n_stored} rows, all that '{out}' holds; above are those of this run.")
    if result.n_failed or result.n_lost:
        click.get_current_context().exit(EXIT_FAILED)
