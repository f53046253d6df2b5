"""`bcos-eval explain`."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Literal

import click

from bcos_eval.errors import InputError
from bcos_eval.spelling import split_names

from .names import registered_name, registered_names, registered_settings
from .parameter_types import SEED, device_option
from .pictures import picture_files, picture_places


@click.command("explain")
@click.argument("pictures", metavar="PICTURE|FOLDER...", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--model", required=True, help="Model name, or FILE.py:FACTORY to run a file of your own.")
@click.option(
    "--method",
    multiple=True,
    help="Explainer, or FILE.py:FUNCTION to run a file of your own; repeats and accepts commas.  "
    "[default: as for run]",
)
@click.option(
    "--target",
    multiple=True,
    help="Class to explain, by name or index, or top2, top3, … for the most likely ones; repeats.  "
    "[default: the predicted one]",
)
@click.option(
    "--unit",
    multiple=True,
    metavar="LAYER:CHANNEL",
    help="Hidden unit of a B-cos model to explain, in the place of classes; repeats and accepts commas.",
)
@click.option(
    "--over",
    type=click.Choice(["mean", "max"]),
    default="mean",
    help="Whether a unit's activation is its mean over positions or the largest.",
)
@click.option("--param", multiple=True, metavar="NAME.KEY=VALUE", help="Parameter of a method; repeats.")
@click.option("--dataset", default="shapes", help="Dataset whose weights are loaded.")
@click.option("--data-dir", type=click.Path(path_type=Path), help="Folder of the dataset, where its classes lie.")
@click.option("--weights", help="Weights file, or `random`.")
@device_option
@click.option("--seed", type=SEED, default=0, help="Seed of explainers that draw.")
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    required=True,
    help="Sheet of all pictures to write, .png or .pdf, or a folder for one .png per picture.",
)
def explain_command(
    pictures: tuple[Path, ...],
    model: str,
    method: tuple[str, ...],
    target: tuple[str, ...],
    unit: tuple[str, ...],
    over: Literal["mean", "max"],
    param: tuple[str, ...],
    dataset: str,
    data_dir: Path | None,
    weights: str | None,
    device: str,
    seed: int,
    out: Path,
) -> None:
    """Explain images of your own and write a picture.

    Folders stand for all image files in them and below.
    """
    model, dataset = registered_name("model", model), registered_name("dataset", dataset)
    methods = registered_names("method", method)
    units = split_names(unit)
    if units and (method or target or param):
        raise InputError("--unit is explained by the method bcos alone; leave --method, --target and --param out.")
    places = picture_places(picture_files(pictures), out)

    from bcos_eval.reports.figures.explanation_picture import save_explanation_picture
    from bcos_eval.store.atomic_write import require_writable
    from bcos_eval.user_code.network import choose_device

    from .image_explanation import (
        degenerate_notes,
        explain_image,
        explain_units,
        load_explained_model,
        methods_for,
    )

    for path in places:
        require_writable(path.parent)
    note = functools.partial(click.echo, err=True)
    network = load_explained_model(model, weights, dataset, data_dir, choose_device(device), note)
    chosen = () if units else methods_for(network, methods, registered_settings(param), note)
    for path, files in places.items():
        rows = [
            row
            for file in files
            for row in (
                explain_units(network, file, units, over)
                if units
                else explain_image(network, file, chosen, target, seed)
            )
        ]
        for text in dict.fromkeys(degenerate_notes(rows)):
            note(text)
        save_explanation_picture(rows, path)
        click.echo(f"picture: {path}")
