"""What a run was asked for, checked against the registries before anything is computed."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal, TypeVar, get_args

from bcos_eval.contract.plugins import common_explainer_params
from bcos_eval.errors import InputError, unknown_name
from bcos_eval.stimuli.source import PoolChoice
from bcos_eval.user_code.file import is_reference
from bcos_eval.user_code.plugins import explainer_named, metric_named

from .choice import Choice, ParamSetting, check_owners, choose, parse_setting

Executor = Literal["local", "ray"]
T = TypeVar("T")

DEFAULT_DATASET = "shapes"
# Enough for an interval of a few hundredths, and below a minute on two cores for the embedded data.
DEFAULT_N_SAMPLES = 100
DEFAULT_BCOS_METHODS = ("bcos",)
DEFAULT_STANDARD_METHODS = ("gradcam", "intgrad", "lime")


@dataclass(frozen=True, slots=True)
class RunRequest:
    """One run.

    Attributes:
        models: Names of models, as tables show them: registered, or those of `model_files`.
        metrics: Metrics, each `name`, `name/preset` or `FILE.py:NAME`.
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
        model_files: Where models of the user's own come from, `FILE.py:FACTORY` by name.
        pool: Whose confident images grids are made of: each model's own, or those that all models share.
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
    model_files: Mapping[str, str] = field(default_factory=dict)
    pool: PoolChoice = "own"

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
        if self.pool not in get_args(PoolChoice):
            raise unknown_name("pool", self.pool, get_args(PoolChoice))
        if self.pool == "shared" and len(self.models) == 1:
            raise InputError("--pool shared with a single model is its own pool; name all models to compare.")
        for name in self.weights:
            if name not in self.models:
                raise unknown_name("model in --weights", name, self.models)

    def as_json(self) -> dict[str, object]:
        """Return the request as plain values, for the manifest."""
        return {
            "models": [self.model_files.get(name, name) for name in self.models],
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
            "pool": self.pool,
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
    found = [(name, metric_named(name).info) for name in request.metrics]
    infos = _by_label((name, f"{info.name}/{info.preset}", info) for name, info in found)
    metrics = tuple(choose(name, info.defaults, settings) for name, info in infos.items())
    methods = _by_label((name, explainer_named(name).info.name, name) for name in request.methods)
    asked = tuple(_chosen_method(name, settings) for name in methods.values()) or None
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


def _by_label(entries: Iterable[tuple[str, str, T]]) -> dict[str, T]:
    """Return values by the name tables give them; entries are what was asked for, that name, the value."""
    found: dict[str, T] = {}
    asked: dict[str, str] = {}
    for given, label, value in entries:
        if asked.setdefault(label, given) != given and is_reference(given):
            raise InputError(f"'{asked[label]}' and '{given}' are both called {label}; rename one of them.")
        found[label] = value
    return found


def _chosen_method(name: str, settings: Iterable[ParamSetting]) -> Choice:
    info = explainer_named(name).info
    common = {key: value for key, value in common_explainer_params().items() if key not in info.defaults}
    choice = choose(info.name, {**info.defaults, **common}, settings)
    # Named only where they differ, so that results of before they existed are found again.
    left_out = common.keys() - set(choice.changed)
    return replace(choice, params={key: value for key, value in choice.params.items() if key not in left_out})
