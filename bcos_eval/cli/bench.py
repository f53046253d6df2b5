"""`bcos-eval bench`."""

from __future__ import annotations

import json
from typing import Any

import click
from click.core import ParameterSource

from bcos_eval.errors import InputError

from .names import registered_names
from .parameter_types import SEED, device_name
from .request_options import weights_by_model

DEFAULT_MODELS = ("bcos_resnet50,resnet50",)
SUITES = ("explainers", "perturbation", "variants", "passes", "store", "workers", "end_to_end", "all")
VARIANTS = ("plain layers", "plain, channels-last", "plain, torch.compile", "bfloat16")
# Small enough for a look at every row in half a minute.
_QUICK: dict[str, Any] = {
    "model": ("bcos_resnet18,resnet18",),
    "cell": 64,
    "n": 2,
    "targets": 4,
    "repeats": 2,
    "steps": 2,
    "samples": 8,
    "images": 1,
}


def _quick_defaults(context: click.Context, _parameter: click.Parameter, quick: bool) -> bool:
    """Make the small settings the defaults, so that options on the command line win."""
    if quick:
        context.default_map = {**(context.default_map or {}), **_QUICK}
    return quick


@click.command("bench")
@click.option(
    "--model",
    multiple=True,
    default=DEFAULT_MODELS,
    help="Models; repeats and accepts commas. Post-hoc explainers take the first standard one; end_to_end takes "
    "one B-cos model with weights for shapes, bcos_resnet18 if none is given.",
)
@click.option("--method", multiple=True, help="Explainer; repeats and accepts commas.  [default: all]")
@click.option(
    "--suite",
    type=click.Choice(SUITES),
    default="all",
    help="What is measured; all are the first two. variants: layouts, torch.compile and bfloat16; passes: stimuli "
    "explained alone and together; store: reading a large store; workers: processes beside threads; end_to_end: a "
    "whole run beside the official analysis.",
)
@click.option(
    "--variant", type=click.Choice(VARIANTS), multiple=True, help="Of variants; repeats.  [default: all]"
)
@click.option("--weights", multiple=True, metavar="[MODEL=]FILE", help="Weights file; repeats.  [default: random]")
@click.option("--cell", type=click.IntRange(min=10), default=224, help="Side of a grid's cell in pixels.")
@click.option("--n", type=click.IntRange(min=1), default=3, help="Cells per side of the grid.")
@click.option("--targets", type=click.IntRange(min=1), default=9, help="Targets explained on the grid.")
@click.option(
    "--repeats",
    type=click.IntRange(min=1),
    default=3,
    help="Repetitions; medians are printed. end_to_end: 1 if not given.",
)
@click.option("--steps", type=click.IntRange(min=1), default=2, help="Steps of intgrad and samples of smoothgrad.")
@click.option("--samples", type=click.IntRange(min=2), default=24, help="Perturbed images of lime, rise, ….")
@click.option("--images", type=click.IntRange(min=1), default=2, help="Images whose deletion curves are made.")
@click.option(
    "--extrapolate/--no-extrapolate",
    default=True,
    help="Run slow alternatives for one target and count it for all.",
)
@click.option(
    "--units", type=click.IntRange(min=1), default=1_000_000, show_default=True, help="Units of the store suite."
)
@click.option(
    "--stimuli",
    type=click.IntRange(min=1),
    help="Grids and images of the suite workers, grids of end_to_end.  [default: 200, 50]",
)
@click.option(
    "--device", default="cpu", callback=device_name, help="Where explainers, variants and passes are measured."
)
@click.option("--threads", type=click.IntRange(min=1), help="Threads of torch.  [default: torch's choice]")
@click.option("--seed", type=SEED, default=0, help="Seed of scenes, targets and samples.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON for programs, with all repetitions.")
@click.option("--quick", is_flag=True, is_eager=True, callback=_quick_defaults, help="Small network and images.")
@click.option("--quiet", is_flag=True, help="Show no progress bars.")
def bench_command(as_json: bool, quiet: bool, quick: bool, **options: Any) -> None:  # noqa: ANN401 - click's values
    """Measure how fast explainers and metrics are.

    Beside Captum, the official B-cos code, Quantus and RISE, whose results they must equal.
    """
    if options["device"] != "cpu" and options["suite"] in ("store", "workers", "end_to_end"):
        raise InputError(
            f"--suite {options['suite']} measures on the CPU and --device is {options['device']}; leave it out."
        )
    if options["suite"] == "store":
        _bench_store(options["units"], as_json)
        return
    if options["suite"] == "workers":
        _bench_workers(options["stimuli"], options["repeats"], as_json)
        return
    if options["suite"] == "end_to_end":
        _bench_end_to_end(options, as_json, quiet)
        return
    request = _request(options)

    from bcos_eval.bench.bench_table import bench_text
    from bcos_eval.bench.run import run_bench
    from bcos_eval.engine.progress import Progress

    report = run_bench(request, Progress(quiet=quiet))
    text = json.dumps(report.as_json(), indent=1, ensure_ascii=False) + "\n" if as_json else bench_text(report)
    click.echo(text, nl=False)


def _bench_store(n_units: int, as_json: bool) -> None:
    from bcos_eval.bench.store_suite import measure_store, store_text

    report = measure_store(n_units)
    click.echo(json.dumps(report.as_json(), indent=1) + "\n" if as_json else store_text(report), nl=False)


def _bench_workers(n_stimuli: int | None, repeats: int, as_json: bool) -> None:
    from bcos_eval.bench.worker_suite import N_STIMULI, measure_workers, workers_text

    report = measure_workers(n_stimuli or N_STIMULI, repeats)
    click.echo(json.dumps(report.as_json(), indent=1) + "\n" if as_json else workers_text(report), nl=False)


def _bench_end_to_end(options: dict[str, Any], as_json: bool, quiet: bool) -> None:
    given = {name for name in ("model", "repeats") if _is_given(name)}
    models = registered_names("model", options["model"]) if "model" in given else ()
    repeats = options["repeats"] if "repeats" in given else 1

    from bcos_eval.bench.end_to_end_suite import MODEL, N_STIMULI, end_to_end_text, measure_end_to_end
    from bcos_eval.engine.progress import Progress

    models = models or (MODEL,)
    with Progress(quiet=quiet).bar("end to end", 2 * repeats, "processes") as bar:
        report = measure_end_to_end(
            models,
            weights_by_model(options["weights"], models),
            n=options["n"],
            n_stimuli=options["stimuli"] or N_STIMULI,
            repeats=repeats,
            n_threads=options["threads"],
            advance=bar.advance,
        )
    click.echo(json.dumps(report.as_json(), indent=1) + "\n" if as_json else end_to_end_text(report), nl=False)


def _is_given(name: str) -> bool:
    return click.get_current_context().get_parameter_source(name) is ParameterSource.COMMANDLINE


def _request(options: dict[str, Any]) -> Any:  # noqa: ANN401 - BenchRequest, imported late because it loads torch
    models, methods = registered_names("model", options["model"]), registered_names("method", options["method"])

    from bcos_eval.bench.run import BenchRequest
    from bcos_eval.user_code.network import choose_device

    return BenchRequest(
        models=models,
        methods=methods,
        suite=options["suite"],
        variants=options["variant"],
        weights=tuple(weights_by_model(options["weights"], models).items()),
        cell=options["cell"],
        n_cells=options["n"],
        n_targets=options["targets"],
        repeats=options["repeats"],
        steps=options["steps"],
        samples=options["samples"],
        extrapolate=options["extrapolate"],
        n_images=options["images"],
        n_threads=options["threads"],
        seed=options["seed"],
        device=str(choose_device(options["device"])),
    )
