"""What a run was asked for, checked against the registries before anything is computed."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, get_args

from bcos_eval.errors import InputError, unknown_name
from bcos_eval.plugins import find_explainer, find_metric

from .choice import Choice, ParamSetting, check_owners, choose, parse_setting

Executor = Literal["local", "ray"]

DEFAULT_DATASET = "shapes"
# Enough for an interval of a few hundredths, and below a minute on two cores for the embedded data.
DEFAULT_N_SAMPLES = 100
DEFAULT_BCOS_METHODS = ("bcos",)
DEFAULT_STANDARD_METHODS = ("gradcam", "intgrad", "lime")


@dataclass(frozen=True, slots=True)
class RunRequest:
    """One run.

    Attributes:
        models: Registered model names.
        metrics: Metrics, each `name` or `name/preset`.
        methods: Explainers; none stands for `bcos` on B-cos models and the usual three on standard ones.
        dataset: Registered dataset name.
        data_dir: Folder of the dataset, where it needs one.
        n_samples: At most so many stimuli of each kind.
        seed: Seed of every random draw.
        device: Where to compute: `auto`, `cpu`, `cuda`, `cuda:1`, …
        batch_size: Stimuli per batch; None chooses by size.
        executor: Who computes the shards.
        settings: Parameter settings, each `owner.key=value`.
        weights: Weights by model name; a model that is not there gets the ones registered for the dataset.
    """

    models: tuple[str, ...]
    metrics: tuple[str, ...]
    methods: tuple[str, ...] = ()
    dataset: str = DEFAULT_DATASET
    data_dir: Path | None = None
    n_samples: int = DEFAULT_N_SAMPLES
    seed: int = 0
    device: str = "auto"
    batch_size: int | None = None
    executor: Executor = "local"
    settings: tuple[str, ...] = ()
    weights: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Refuse what no run can be made of.

        Raises:
            InputError: For empty lists and numbers out of range.
        """
        if not self.models:
            raise InputError("no model given; name one with --model, see `bcos-eval list models`.")
        if not self.metrics:
            raise InputError("no metric given; name one with --metric, see `bcos-eval list metrics`.")
        if self.n_samples < 1:
            raise InputError(f"--samples {self.n_samples} is not allowed; give 1 or more.")
        if self.batch_size is not None and self.batch_size < 1:
            raise InputError(f"--batch-size {self.batch_size} is not allowed; give 1 or more, or auto.")
        if self.executor not in get_args(Executor):
            raise unknown_name("executor", self.executor, get_args(Executor))
        for name in self.weights:
            if name not in self.models:
                raise unknown_name("model in --weights", name, self.models)

    def as_json(self) -> dict[str, object]:
        """Return the request as plain values, for the manifest."""
        return {
            "models": list(self.models),
            "metrics": list(self.metrics),
            "methods": list(self.methods),
            "dataset": self.dataset,
            "data_dir": None if self.data_dir is None else str(self.data_dir),
            "samples": self.n_samples,
            "seed": self.seed,
            "device": self.device,
            "batch_size": self.batch_size,
            "executor": self.executor,
            "params": list(self.settings),
            "weights": dict(self.weights),
        }


@dataclass(frozen=True, slots=True)
class Choices:
    """The methods and metrics of a request with their parameters.

    Attributes:
        asked_methods: Methods that were named; None leaves the choice to the kind of model.
        bcos_methods: What a B-cos model is run with.
        standard_methods: What a standard model is run with.
        metrics: Metrics, all with their presets.
    """

    asked_methods: tuple[Choice, ...] | None
    bcos_methods: tuple[Choice, ...]
    standard_methods: tuple[Choice, ...]
    metrics: tuple[Choice, ...]

    def methods_for(self, is_bcos: bool) -> tuple[Choice, ...]:
        """Return the methods for a B-cos or a standard model."""
        return self.bcos_methods if is_bcos else self.standard_methods


def resolve(request: RunRequest) -> Choices:
    """Look up every name and type every parameter of a request.

    Raises:
        InputError: For unknown names (with near matches), unknown keys and wrong values.
    """
    settings = [parse_setting(text) for text in request.settings]
    infos = {f"{info.name}/{info.preset}": info for info in (find_metric(name).info for name in request.metrics)}
    metrics = tuple(choose(name, info.defaults, settings) for name, info in infos.items())
    asked = tuple(_chosen_method(name, settings) for name in _distinct(request.methods)) or None
    bcos = asked or tuple(_chosen_method(name, settings) for name in DEFAULT_BCOS_METHODS)
    standard = asked or tuple(_chosen_method(name, settings) for name in DEFAULT_STANDARD_METHODS)
    check_owners(settings, {choice.name for choice in (*metrics, *bcos, *standard)})
    return Choices(asked, bcos, standard, metrics)


def split_names(texts: Iterable[str]) -> tuple[str, ...]:
    """Return the names in options that repeat and accept commas, each once, in the order given.

    Example:
        >>> split_names(["bcos, ixg", "lime", "ixg"])
        ('bcos', 'ixg', 'lime')
    """
    return _distinct(name.strip() for text in texts for name in text.split(",") if name.strip())


def _distinct(names: Iterable[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(names))


def _chosen_method(name: str, settings: Iterable[ParamSetting]) -> Choice:
    return choose(name, find_explainer(name).info.defaults, settings)
