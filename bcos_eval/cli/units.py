"""`bcos-eval units`: which images of a dataset a hidden unit of a B-cos network responds to most."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import click

from bcos_eval.spelling import split_names

from .names import registered_name
from .parameter_types import device_option
from .stored import DEFAULT_OUT


@click.command("units")
@click.option("--model", required=True, help="B-cos model.")
@click.option(
    "--unit",
    multiple=True,
    required=True,
    metavar="LAYER:CHANNEL",
    help="Hidden unit, for example layer4.1:37; repeats and accepts commas.",
)
@click.option(
    "--over",
    type=click.Choice(["mean", "max"]),
    default="max",
    help="Whether a unit's activation is its mean over positions or the largest.",
)
@click.option("--dataset", default="shapes", help="Dataset whose images are looked at.")
@click.option("--data-dir", type=click.Path(path_type=Path), help="Folder of the dataset.")
@click.option("--weights", help="Weights file, or `random`.")
@click.option("--samples", type=click.IntRange(min=1), default=500, help="Look at so many images at most.")
@click.option("--top", type=click.IntRange(1, 12), default=6, help="Images to keep of each unit.")
@device_option
@click.option("--out", type=click.Path(path_type=Path), default=DEFAULT_OUT, help="Folder of results.")
def units_command(
    model: str,
    unit: tuple[str, ...],
    over: Literal["mean", "max"],
    dataset: str,
    data_dir: Path | None,
    weights: str | None,
    samples: int,
    top: int,
    device: str,
    out: Path,
) -> None:
    """Show what hidden units respond to: their top images, explained.

    The images are kept in the folder of results, and the figure `units` is drawn.
    """
    model, dataset = registered_name("model", model), registered_name("dataset", dataset)

    from bcos_eval.data import load_dataset
    from bcos_eval.data.transform import EvaluationTransform
    from bcos_eval.engine.unit_examples import keep_top_images
    from bcos_eval.models import load_model
    from bcos_eval.reports.figures.figures import draw
    from bcos_eval.reports.results import Results
    from bcos_eval.store.atomic_write import require_writable
    from bcos_eval.user_code.network import choose_device

    from .image_explanation import unit_named

    require_writable(out)
    units = [unit_named(text) for text in split_names(unit)]
    network = load_model(model, weights, dataset, choose_device(device))
    images = load_dataset(dataset, data_dir, transform=EvaluationTransform.for_network(network))
    keep_top_images(network, images, units, over=over, n_samples=samples, n_top=top, root=out)
    for path in draw(Results.unchecked([out]), ["units"], out / "hidden_units"):
        click.echo(path)
