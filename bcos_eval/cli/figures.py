"""`bcos-eval figures`: what is drawn from a store without a model."""

from __future__ import annotations

from pathlib import Path

import click

from bcos_eval.spelling import split_names

from .stored import DEFAULT_OUT, echo_note


@click.command("figures")
@click.argument("folders", metavar="[DIR...]", nargs=-1, type=click.Path(path_type=Path))
@click.option(
    "--only",
    multiple=True,
    help="Figure, one of those of `bcos-eval list figures`; repeats and accepts commas.  [default: all]",
)
@click.option(
    "--model", multiple=True, help="Models to show, or patterns; repeats and accepts commas.  [default: all]"
)
@click.option("--method", multiple=True, help="Methods to show, likewise.  [default: all]")
@click.option("--metric", multiple=True, help="Metrics to show, likewise.  [default: all]")
@click.option(
    "--cut-out",
    multiple=True,
    metavar="METHOD",
    help="Explainer that `comparison` draws as the part of the image it speaks for, as papers do with lime; "
    "repeats and accepts commas.",
)
@click.option("--out", type=click.Path(path_type=Path), required=True, help="Folder for the figures.")
def figures_command(
    folders: tuple[Path, ...], only: tuple[str, ...], cut_out: tuple[str, ...], out: Path, **shown: tuple[str, ...]
) -> None:
    """Draw figures from stored results.

    DIR is runs by default; the results of several are put together. Each figure comes as PDF, PNG and a caption.
    """
    from bcos_eval.reports.figures.figures import draw
    from bcos_eval.reports.results import Results
    from bcos_eval.store.atomic_write import require_writable

    require_writable(out)
    results = Results.unchecked(folders or (DEFAULT_OUT,)).only(
        **{key: split_names(names) for key, names in shown.items()}
    )
    for path in draw(results, split_names(only), out, cut_out=split_names(cut_out), note=echo_note):
        click.echo(path)
