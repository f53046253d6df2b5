"""`bcos-eval series`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import click

from .names import registered_name, registered_names
from .parameter_types import SEED, device_option


def _list_of(kind: Callable[[str], object]) -> Callable[..., list[object]]:
    def parse(_context: click.Context, option: click.Parameter, value: str) -> list[object]:
        try:
            return list(dict.fromkeys(kind(part.strip()) for part in value.split(",")))
        except ValueError as error:
            raise click.BadParameter(
                f"'{value}' is not a list of numbers such as 1,1.5,2", param=option
            ) from error

    return parse


@click.command("series")
@click.option("--model", default="bcos_resnet18", help="Name of a B-cos model.")
@click.option("--dataset", default="shapes", help="Dataset name.")
@click.option("--data-dir", type=click.Path(path_type=Path), help="Folder of the dataset.")
@click.option("--b", "exponents", default="2", callback=_list_of(float), help="Exponents B, `1,1.5,2`.")
@click.option("--norm", "norms", default="batch_uncentred", callback=_list_of(str), help="Norms, as `train` has.")
@click.option(
    "--max-out", type=click.IntRange(min=1), default=1, help="Candidates per output; B = 1 is linear without."
)
@click.option("--epochs", type=click.IntRange(min=1), help="Passes over the data.  [default: the recipe's]")
@click.option("--batch-size", type=click.IntRange(min=1), help="Images per step.  [default: the recipe's]")
@click.option("--metric", "metrics", multiple=True, default=("grid_pg", "energy_pg"), help="Metric; repeats.")
@click.option("--samples", type=click.IntRange(min=1), default=200, help="Stimuli per metric.")
@click.option("--out", type=click.Path(path_type=Path), required=True, help="Folder of weights and scores.csv.")
@click.option("--seed", type=SEED, default=0, help="Seed of weights, order and augmentation.")
@device_option
@click.option("--compile/--no-compile", "compiled", default=True, help="Whether to use torch.compile.")
def series_command(
    model: str,
    dataset: str,
    data_dir: Path | None,
    exponents: list[float],
    norms: list[str],
    max_out: int,
    epochs: int | None,
    batch_size: int | None,
    metrics: tuple[str, ...],
    samples: int,
    out: Path,
    seed: int,
    device: str,
    compiled: bool,
) -> None:
    """Train and score networks that differ in their exponent B or their norm alone.

    Every network is trained that OUT does not hold yet and explained by its own linear summary. `bcos-eval figures
    OUT --only b_exponent` (or norms) draws the table that is written.
    """
    model, dataset = registered_name("model", model), registered_name("dataset", dataset)
    metrics = tuple(registered_names("metric", metrics))

    from dataclasses import replace

    from bcos_eval.errors import InputError
    from bcos_eval.models import model_info
    from bcos_eval.models.form import BcosForm
    from bcos_eval.series import SeriesRequest, run_series
    from bcos_eval.store.atomic_write import require_writable
    from bcos_eval.training import TrainingRequest, default_recipe, usual_precision
    from bcos_eval.user_code.network import choose_device

    if not model_info(model).is_bcos:
        raise InputError(
            f"'{model}' is no B-cos model, so that it has neither an exponent nor such norms; name one"
        )
    forms = [BcosForm(b, norm, max_out) for b in exponents for norm in norms]  # type: ignore[arg-type]
    place = str(choose_device(device))
    recipe = replace(default_recipe(is_bcos=True, dataset=dataset), seed=seed, precision=usual_precision(place))
    recipe = replace(recipe, epochs=epochs or recipe.epochs, batch_size=batch_size or recipe.batch_size)
    require_writable(out)
    training = TrainingRequest(model, dataset, data_dir, recipe, out, compiled=compiled, device=place)
    click.echo(f"scores: {run_series(SeriesRequest(training, forms, metrics, samples))}")
