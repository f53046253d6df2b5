"""The options that say what to evaluate, which `run` and `aggatt` share, and the request they make."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import click

from bcos_eval.errors import InputError, unknown_name

from .catalogue import catalogue
from .config_file import read_config
from .names import all_names, registered_models, registered_name, registered_names, registered_settings
from .parameter_types import SEED, device_option
from .stored import DEFAULT_OUT, echo_note

Command = TypeVar("Command", bound=Callable[..., Any])

# Where a context keeps the `param` entries of the file that --config names.
_CONFIG_SETTINGS = f"{__name__}.config_settings"
_AUTO = "auto"
_RANDOM = "random"
_EVERYTHING = "1/1"


def _read_config(context: click.Context, _parameter: click.Parameter, path: Path | None) -> Path | None:
    """Make the values of the file the defaults, so that options on the command line win."""
    if path is not None:
        options = [option for option in context.command.params if option.name != "config"]
        values = read_config(path, options)
        # Parameters on the command line come on top of those in the file, and do not take their place.
        context.meta[_CONFIG_SETTINGS] = tuple(values.pop("param", ()))
        context.default_map = {**(context.default_map or {}), **values}
    return path


# What `run` and `aggatt` are asked for in the same words.
_REQUEST_OPTIONS = (
    click.option(
        "--model",
        multiple=True,
        help="Model name, suite or pattern ('bcos_*'), or FILE.py:FACTORY to run a file of your own; repeats and "
        "accepts commas.",
    ),
    click.option(
        "--metric",
        multiple=True,
        help="Metric, NAME or NAME/PRESET, suite or pattern, or FILE.py:FUNCTION to run a file of your own; "
        "repeats and accepts commas.",
    ),
    click.option(
        "--method",
        multiple=True,
        help="Explainer, suite or pattern, or FILE.py:FUNCTION to run a file of your own; repeats and accepts "
        "commas.  "
        "[default: bcos on B-cos models, else gradcam,intgrad,lime]",
    ),
    click.option("--dataset", default="shapes", help="Dataset name."),
    click.option("--data-dir", type=click.Path(path_type=Path), help="Folder of the dataset."),
    click.option(
        "--weights",
        multiple=True,
        metavar="[MODEL=]FILE",
        help="Weights file, the dataset of shipped weights, or `random`; repeats.",
    ),
    click.option("--samples", type=int, default=100, help="At most so many stimuli of each kind."),
    click.option("--seed", type=SEED, default=0, help="Seed of every random draw."),
    device_option,
    click.option("--out", type=click.Path(path_type=Path), default=DEFAULT_OUT, help="Folder of results."),
    click.option(
        "--pool",
        default="own",
        help="Whose confident images grids are made of: each model's own, or shared by all models, so that their "
        "scores can be compared in pairs.",
    ),
    click.option(
        "--target",
        help="Which class of single images is explained: the label, or the one predicted, on all images then.  "
        "[default: as the metric's preset says, the label but for rise]",
    ),
    click.option(
        "--param", multiple=True, metavar="NAME.KEY=VALUE", help="Parameter of a method or metric; repeats."
    ),
    click.option(
        "--config",
        type=click.Path(path_type=Path),
        callback=_read_config,
        is_eager=True,
        help="TOML file with the same keys as these options, which win over it.",
    ),
    click.option("--quiet", is_flag=True, help="Show no progress bars."),
)


def request_options(command: Command) -> Command:
    """Give a command the options that say what to evaluate, see `requested`."""
    for option in reversed(_REQUEST_OPTIONS):
        command = option(command)
    return command


def requested(options: Mapping[str, Any]) -> Any:  # noqa: ANN401 - RunRequest, imported late because it loads torch
    """Return the request that the values of `request_options` and of run's own options make.

    Raises:
        InputError: If no run can be made of them.
    """
    # Names first: what is misspelt is refused before torch is loaded.
    dataset = registered_name("dataset", options["dataset"])
    if options["weights"]:
        given_models = registered_names("model", options["model"])
    else:
        given_models = registered_models(options["model"], dataset, echo_note)
    metrics = registered_names("metric", options["metric"])
    methods = registered_names("method", options["method"])

    config_settings = _config_settings()
    settings = registered_settings(options["param"])

    from bcos_eval.engine.request import RunRequest
    from bcos_eval.user_code.model import models_named

    models, model_files = models_named(given_models)
    if not methods and not model_files:
        _refuse_settings_of_unused_defaults(settings, models)
    return RunRequest(
        models=models,
        metrics=metrics,
        methods=methods,
        dataset=dataset,
        data_dir=options["data_dir"],
        n_samples=options["samples"],
        seed=options["seed"],
        device=options["device"],
        batch_size=_batch_size(options["batch_size"]),
        executor=options["executor"],
        pool=options["pool"],
        target=options["target"],
        workers=options.get("workers", 1),
        share=_share(options.get("shard", _EVERYTHING)),
        ray_address=options.get("address"),
        gpus_per_worker=options.get("gpus_per_worker"),
        fail_fast=options.get("fail_fast", False),
        retry_failed=options.get("retry_failed", False),
        keep_maps=options.get("keep_maps", False),
        until=options.get("until"),
        unit_timeout=options.get("unit_timeout"),
        settings=settings,
        config_settings=config_settings,
        weights=weights_by_model(options["weights"], models, model_files),
        model_files=model_files,
    )


def _config_settings() -> tuple[str, ...]:
    """Return the parameters in the file of --config, which may speak of methods and metrics of other runs.

    Raises:
        InputError: If one speaks of what does not exist.
    """
    context = click.get_current_context(silent=True)
    given: tuple[str, ...] = context.meta.get(_CONFIG_SETTINGS, ()) if context is not None else ()
    settings = registered_settings(given)
    known = {*all_names("method"), *all_names("metric")}
    for setting in settings:
        # Entries of the user's own files are called `file.name`.
        if _owner(setting) not in known and "." not in _owner(setting):
            raise unknown_name("method or metric in the param table of --config", _owner(setting), known)
    return settings


def _refuse_settings_of_unused_defaults(settings: Sequence[str], models: Sequence[str]) -> None:
    """Refuse parameters of explainers that are the default of the other kind of models.

    Raises:
        InputError: If there are such.
    """
    from bcos_eval.engine.request import DEFAULT_BCOS_METHODS, DEFAULT_STANDARD_METHODS

    kinds = {bool(row["bcos"]) for row in catalogue().rows("models") if row["name"] in models}
    defaults = {True: DEFAULT_BCOS_METHODS, False: DEFAULT_STANDARD_METHODS}
    used = {name for kind in kinds for name in defaults[kind]}
    for setting in settings:
        if _owner(setting) in {*DEFAULT_BCOS_METHODS, *DEFAULT_STANDARD_METHODS} - used:
            raise InputError(
                f"--param {setting}: '{_owner(setting)}' is not part of this run, which has "
                f"{', '.join(sorted(used))}; add --method {_owner(setting)}."
            )


def _owner(setting: str) -> str:
    """Return what a setting `OWNER.KEY=VALUE` is meant for."""
    return setting.partition("=")[0].rpartition(".")[0]


def _share(text: str | None) -> Any:  # noqa: ANN401 - Share, imported late because its package loads torch
    """Return the share that was asked for, or the one that a scheduler's variables say, which is noted."""
    from bcos_eval.engine.share import parse_share, share_of_environment

    if text is not None:
        return parse_share(text)
    share, said_by = share_of_environment(os.environ)
    if share.count > 1:
        echo_note(f"note: --shard {share}, as {said_by} says; --shard 1/1 computes everything.")
    return share


def _batch_size(text: str) -> int | None:
    if text == _AUTO:
        return None
    try:
        return int(text)
    except ValueError as error:
        raise InputError(f"--batch-size '{text}' is not allowed; give a number or auto.") from error


def weights_by_model(
    texts: Sequence[str], models: Sequence[str], model_files: Mapping[str, str] | None = None
) -> dict[str, str]:
    """Return the weights of each model from `--weights MODEL=FILE`; `--weights FILE` will do with one model.

    MODEL is as given to `--model`, or the name in tables, which is the key of `model_files` for the user's own.

    Raises:
        InputError: If it is not clear whose weights a file holds.
    """
    found = {}
    names = {file: name for name, file in (model_files or {}).items()}
    for text in texts:
        model, equals, file = text.partition("=")
        model = names.get(model, model)
        if equals and model in models:
            found[model] = file
        elif len(models) == 1:
            found[models[0]] = text
        elif text == _RANDOM:
            found.update(dict.fromkeys(models, _RANDOM))
        else:
            raise InputError(f"--weights '{text}': with several models write MODEL=FILE, MODEL being one of them.")
    return found
