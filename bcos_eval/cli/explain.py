"""`bcos-eval explain`."""

from __future__ import annotations

import functools
from pathlib import Path

import click

from .names import registered_name, registered_names


@click.command("explain")
@click.argument("images", metavar="IMAGE...", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--model", required=True, help="Model name, or FILE.py:FACTORY to run a file of your own.")
@click.option(
    "--method",
    multiple=True,
    help="Explainer, or FILE.py:FUNCTION to run a file of your own; repeats and accepts commas.  "
    "[default: as for run]",
)
@click.option("--target", help="Class to explain, by name or index.  [default: the predicted one]")
@click.option("--dataset", default="shapes", help="Dataset whose weights are loaded.")
@click.option("--weights", help="Weights file, or `random`.")
@click.option("--device", default="auto", help="auto, cpu, cuda, …")
@click.option("--seed", type=int, default=0, help="Seed of explainers that draw.")
@click.option("--out", type=click.Path(path_type=Path), required=True, help="Picture to write, .png or .pdf.")
def explain_command(
    images: tuple[Path, ...],
    model: str,
    method: tuple[str, ...],
    target: str | None,
    dataset: str,
    weights: str | None,
    device: str,
    seed: int,
    out: Path,
) -> None:
    """Explain images of your own and write a picture."""
    model, dataset = registered_name("model", model), registered_name("dataset", dataset)
    method = registered_names("method", method)

    from bcos_eval.reports.figures.explanation_picture import check_picture_path, save_explanation_picture
    from bcos_eval.user_code.network import choose_device

    from .image_explanation import explain_image, load_explained_model, methods_for

    check_picture_path(out)
    note = functools.partial(click.echo, err=True)
    network = load_explained_model(model, weights, dataset, choose_device(device), note)
    methods = methods_for(network, method)
    save_explanation_picture([explain_image(network, path, methods, target, seed) for path in images], out)
    click.echo(f"picture: {out}")
