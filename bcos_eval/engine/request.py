"""What a run was asked for, checked against the registries before anything is computed."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import get_args

from bcos_eval.contract.explainer import Explainer
from bcos_eval.contract.metric import Metric, Target
from bcos_eval.errors import InputError, unknown_name
from bcos_eval.stimuli import PoolChoice
from bcos_eval.user_code.plugins import explainer_named, metric_named

from .choice import Choice, Entry, ParamSetting, check_settings, choose, parse_setting
from .share import Share

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
        metrics: Metrics, each `name`, `name/preset`, `FILE.py:NAME` or an object of the user's own.
        methods: Explainers, likewise; none stands for `bcos` on B-cos models and the usual three on standard ones.
        dataset: Registered dataset name.
        data_dir: Folder of the dataset, where it needs one.
        n_samples: At most so many stimuli of each kind.
        seed: Seed of every random draw.
        device: Where to compute: `auto`, `cpu`, `cuda`, `cuda:1`, …
        batch_size: Stimuli per batch; None chooses by size.
        executor: Who computes the shards, a name in `bcos_eval.engine.executors`.
        settings: Parameter settings, each `owner.key=value`, or with a typed value.
        config_settings: The same from a file that may speak of methods and metrics this run leaves out.
        weights: Weights by model name; a model that is not there gets the ones registered for the dataset.
        model_files: Where models of the user's own come from, `FILE.py:FACTORY` by name.
        pool: Whose confident images grids are made of: each model's own, or those that all models share.
        target: Which class of single images is explained: the label, or what the model predicts; None leaves it to
            the metric's preset.
        workers: Number of processes that compute; with more than one, each has a replica of the model.
        share: The part of the tasks that this run computes.
        ray_address: Where a Ray cluster is; None starts one on this machine.
        gpus_per_worker: GPUs of a Ray worker, also a part of one; None is one on CUDA, else none.
        fail_fast: Whether the run ends where code raises on a unit; otherwise that unit is `failed`.
        retry_failed: Whether shards with failed units are computed again.
        keep_maps: Whether the attributions of what is computed are stored too.
        until: Half-width of the interval of a mean below which its cell stops; None computes all stimuli.
        unit_timeout: Seconds that a method or a metric may take for one stimulus, which fails otherwise.
    """

    models: tuple[str, ...]
    metrics: tuple[str | Metric, ...]
    methods: tuple[str | Explainer, ...] = ()
    dataset: str = DEFAULT_DATASET
    data_dir: Path | None = None
    n_samples: int = DEFAULT_N_SAMPLES
    seed: int = 0
    device: str = "auto"
    batch_size: int | None = None
    executor: str = "local"
    settings: tuple[str | ParamSetting, ...] = ()
    config_settings: tuple[str | ParamSetting, ...] = ()
    weights: Mapping[str, str] = field(default_factory=dict)
    model_files: Mapping[str, str] = field(default_factory=dict)
    pool: PoolChoice = "own"
    target: Target | None = None
    workers: int = 1
    share: Share = field(default_factory=Share)
    ray_address: str | None = None
    gpus_per_worker: float | None = None
    fail_fast: bool = False
    retry_failed: bool = False
    keep_maps: bool = False
    until: float | None = None
    unit_timeout: float | None = None

    def __post_init__(self) -> None:
        """Refuse what no run can be made of.

        Raises:
            InputError: For empty lists and numbers out of range.
        """
        if not self.models:
            raise InputError("no model given; name one with --model, see `bcos-eval list models`.")
        if not self.metrics:
            raise InputError("no metric given; name one with --metric, see `bcos-eval list metrics`.")
        self._require_counts()
        if self.pool not in get_args(PoolChoice):
            raise unknown_name("pool", self.pool, get_args(PoolChoice))
        if self.target is not None and self.target not in get_args(Target):
            raise unknown_name("target", self.target, get_args(Target))
        if self.pool == "shared" and len(self.models) == 1:
            raise InputError("--pool shared with a single model is its own pool; name all models to compare.")
        for name in self.weights:
            if name not in self.models:
                raise unknown_name("model in --weights", name, self.models)

    def _require_counts(self) -> None:
        if self.seed < 0:
            raise InputError(f"--seed {self.seed} is not allowed; give 0 or more.")
        if self.n_samples < 1:
            raise InputError(f"--samples {self.n_samples} is not allowed; give 1 or more.")
        if self.batch_size is not None and self.batch_size < 1:
            raise InputError(f"--batch-size {self.batch_size} is not allowed; give 1 or more, or auto.")
        if self.workers < 1:
            raise InputError(f"--workers {self.workers} is not allowed; give 1 or more.")
        if self.until is not None and not 0 < self.until < math.inf:
            raise InputError(f"--until {self.until:g} is not allowed; give a half-width above 0, such as 0.02.")
        if self.unit_timeout is not None and not 0 < self.unit_timeout < math.inf:
            raise InputError(f"--unit-timeout {self.unit_timeout:g} is not allowed; give seconds above 0.")

    def as_json(self) -> dict[str, object]:
        """Return the request as plain values, for the manifest."""
        return {
            "models": [self.model_files.get(name, name) for name in self.models],
            "metrics": [_key(metric) for metric in self.metrics],
            "methods": [_key(method) for method in self.methods],
            "dataset": self.dataset,
            "data_dir": None if self.data_dir is None else str(self.data_dir),
            "samples": self.n_samples,
            "seed": self.seed,
            "device": self.device,
            "batch_size": self.batch_size,
            "executor": self.executor,
            "workers": self.workers,
            "shard": str(self.share),
            "params": [str(setting) for setting in (*self.config_settings, *self.settings)],
            "weights": dict(self.weights),
            "pool": self.pool,
            "keep_maps": self.keep_maps,
            "until": self.until,
            "target": self.target,
        }


@dataclass(frozen=True, slots=True)
class Choices:
    """The methods and metrics of a request with their parameters.

    Attributes:
        are_asked: Whether methods were named; otherwise the kind of model decides.
        bcos_methods: What a B-cos model is run with.
        standard_methods: What a standard model is run with.
        metrics: Metrics, all with their presets.
    """

    are_asked: bool
    bcos_methods: tuple[Choice[Explainer], ...]
    standard_methods: tuple[Choice[Explainer], ...]
    metrics: tuple[Choice[Metric], ...]

    def methods_for(self, is_bcos: bool) -> tuple[Choice[Explainer], ...]:
        """Return the methods for a B-cos or a standard model."""
        return self.bcos_methods if is_bcos else self.standard_methods


def resolve(request: RunRequest) -> Choices:
    """Look up every name and type every parameter of a request: from here on objects travel, not names.

    Raises:
        InputError: For unknown names (with near matches), unknown keys and wrong values.
    """
    settings = [s if isinstance(s, ParamSetting) else parse_setting(s) for s in request.settings]
    optional = [s if isinstance(s, ParamSetting) else parse_setting(s) for s in request.config_settings]
    of_all = [*optional, *settings]
    metrics = tuple(choose(metric, of_all) for metric in _distinct_entries(request.metrics, metric_named))
    asked = tuple(choose(method, of_all) for method in _distinct_entries(request.methods, explainer_named))
    bcos = asked or tuple(choose(explainer_named(name), of_all) for name in DEFAULT_BCOS_METHODS)
    standard = asked or tuple(choose(explainer_named(name), of_all) for name in DEFAULT_STANDARD_METHODS)
    check_settings(settings, (*metrics, *bcos, *standard))
    return Choices(bool(asked), bcos, standard, metrics)


def _distinct_entries(given: Iterable[str | Entry], find: Callable[[str], Entry]) -> list[Entry]:
    """Return what names stand for, each once.

    Raises:
        InputError: If two different things would have the same name in tables.
    """
    found: dict[str, Entry] = {}
    spelt: dict[str, str | Entry] = {}
    for name in given:
        entry = find(name) if isinstance(name, str) else name
        key = entry.info.key
        if key in found and spelt[key] != name and found[key] != entry:
            raise InputError(f"'{spelt[key]}' and '{name}' are both called {key}; rename one of them.")
        found[key], spelt[key] = entry, name
    return list(found.values())


def _key(given: str | Explainer | Metric) -> str:
    return given if isinstance(given, str) else given.info.key
