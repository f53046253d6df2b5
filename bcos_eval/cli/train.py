"""`bcos-eval train`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from .names import registered_name
from .parameter_types import SEED, device_option

if TYPE_CHECKING:
    from bcos_eval.training.recipe import Precision


@click.command("train")
@click.option("--model", required=True, help="Model name.")
@click.option("--dataset", default="shapes", help="Dataset name.")
@click.option("--data-dir", type=click.Path(path_type=Path), help="Folder of the dataset.")
@click.option(
    "--out", type=click.Path(path_type=Path), default=Path("weights"), help="Folder of weights and cards."
)
@click.option("--epochs", type=click.IntRange(min=1), help="Passes over the data.  [default: the recipe's]")
@click.option(
    "--learning-rate",
    type=click.FloatRange(0, min_open=True),
    help="Peak of the learning rate.  [default: the recipe's]",
)
@click.option(
    "--crop-scale-min",
    type=click.FloatRange(0, 1, min_open=True),
    help="Smallest area share of a random crop.  [default: the recipe's]",
)
@click.option(
    "--init",
    "initial",
    type=click.Path(path_type=Path),
    help="Weights of the same model to start from, or for bcos:NAME of NAME; the classifier may have other "
    "classes.  [default: random]",
)
@click.option(
    "--size",
    type=click.IntRange(min=32),
    help="Side in pixels of photographs (imagenette, folder).  [default: what the model is made for]",
)
@click.option("--batch-size", type=click.IntRange(min=1), help="Images per step.  [default: the recipe's]")
@click.option(
    "--b",
    type=click.FloatRange(1),
    help="Exponent B of B-cos layers; in bcos:NAME it rises from 1 to this.  [default: 2]",
)
@click.option(
    "--norm",
    help="What stands for batch norms in B-cos networks: batch_uncentred, batch_centred, layer, instance, "
    "position or all.  [default: batch_uncentred]",
)
@click.option(
    "--max-out",
    type=click.IntRange(min=1),
    help="Candidates per output of B-cos layers, the largest is kept; with B = 1 a network is linear without.  "
    "[default: 1]",
)
@click.option(
    "--train-images", "n_images", type=click.IntRange(min=1), help="Scenes to train on, where they are generated."
)
@click.option(
    "--precision",
    type=click.Choice(["bfloat16", "float32"]),
    help="Type of the training steps.  [default: bfloat16, but float32 on processors that emulate it]",
)
@click.option("--seed", type=SEED, default=0, help="Seed of weights, order and augmentation.")
@device_option
@click.option("--compile/--no-compile", "compiled", default=True, help="Whether to use torch.compile.")
def train_command(
    model: str,
    dataset: str,
    data_dir: Path | None,
    out: Path,
    epochs: int | None,
    learning_rate: float | None,
    crop_scale_min: float | None,
    initial: Path | None,
    size: int | None,
    batch_size: int | None,
    b: float | None,
    norm: str | None,
    max_out: int | None,
    n_images: int | None,
    precision: Precision | None,
    seed: int,
    device: str,
    compiled: bool,
) -> None:
    """Train a model as the shipped weights were."""
    model, dataset = registered_name("model", model), registered_name("dataset", dataset)

    from dataclasses import replace

    from bcos_eval.errors import InputError
    from bcos_eval.models import model_info
    from bcos_eval.models.form import BcosForm
    from bcos_eval.models.weights_file import file_digest, read_weights
    from bcos_eval.store.atomic_write import require_writable
    from bcos_eval.training import TrainingRequest, default_recipe, train, usual_precision
    from bcos_eval.user_code.network import choose_device

    place = str(choose_device(device))
    recipe = default_recipe(
        is_bcos=model_info(model).is_bcos,
        dataset=dataset,
        is_converted=model.startswith("bcos:") and initial is not None,
    )
    asked: dict[str, Any] = {
        "epochs": epochs,
        "learning_rate": learning_rate,
        "crop_scale_min": crop_scale_min,
        "batch_size": batch_size,
        "precision": precision or usual_precision(place),
    }
    recipe = replace(recipe, seed=seed, **_given(asked))
    form = _given({"b": b, "norm": norm, "max_out": max_out})
    if form and not model_info(model).is_bcos:
        raise InputError(
            f"{', '.join('--' + name.replace('_', '-') for name in form)} is for B-cos networks, and '{model}' is "
            "none; leave it out"
        )
    recipe = replace(recipe, form=BcosForm(**form))
    if initial is not None:
        read_weights(initial)  # names what is wrong with the file before the images are read
        recipe = replace(recipe, initial_weights=file_digest(initial))
    require_writable(out)
    request = TrainingRequest(
        model,
        dataset,
        data_dir,
        recipe,
        out,
        compiled=compiled,
        device=place,
        initial=initial,
        n_images=n_images,
        size=size,
    )
    path = train(request)
    click.echo(f"weights: {path}")


def _given(options: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in options.items() if value is not None}
