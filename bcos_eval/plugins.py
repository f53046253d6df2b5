"""The one place that loads `bcos_eval.metrics` and `bcos_eval.baselines`, and the types the core expects of them.

Both folders lie beside `bcos_eval` in a checkout and become its subpackages when installed, which type checkers
cannot follow; so they are loaded by name here, and nowhere else.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping, Sequence
from types import ModuleType
from typing import Literal, Protocol, cast

from torch import Tensor

from bcos_eval.errors import InputError, unknown_name

Param = float | int | str | bool
StimulusKind = Literal["grid", "single"]


class Network(Protocol):
    """An image classifier in evaluation mode that knows its input and its output."""

    name: str
    weights_id: str
    is_bcos: bool
    num_classes: int
    input_size: int

    def encode(self, images: Tensor) -> Tensor:
        """Map images `(B, 3, H, W)` in [0, 1] to network input."""
        ...

    def probability(self, logits: Tensor) -> Tensor:
        """Map logits to probabilities."""
        ...

    def __call__(self, encoded: Tensor, /) -> Tensor:
        """Map network input to logits `(B, C)`."""
        ...


class ExplainerInfo(Protocol):
    """What is known of an explainer before it is called."""

    @property
    def name(self) -> str:
        """Registered name."""
        ...

    @property
    def source(self) -> str:
        """Where the definition comes from."""
        ...

    @property
    def defaults(self) -> Mapping[str, Param]:
        """Every parameter with its default value."""
        ...

    @property
    def stochastic(self) -> bool:
        """Whether the seed matters."""
        ...

    @property
    def needs_bcos(self) -> bool:
        """Whether it explains B-cos models only."""
        ...


class Explainer(Protocol):
    """Makes the attributions of all targets of some images in one call."""

    @property
    def info(self) -> ExplainerInfo:
        """Name, source, parameters, needs."""
        ...

    def check(self, model: Network, params: Mapping[str, Param]) -> None:
        """Raise `IncompatibleError` if this model cannot be explained so."""
        ...

    def __call__(
        self, model: Network, images: Tensor, targets: Tensor, *, seed: int = 0, **params: Param
    ) -> Tensor:
        """Return signed maps `(B, K, H, W)` for images `(B, 3, H, W)` in [0, 1] and targets `(B, K)`."""
        ...


class MetricInfo(Protocol):
    """What is known of a metric before it is computed."""

    @property
    def name(self) -> str:
        """Registered name, without the preset."""
        ...

    @property
    def preset(self) -> str:
        """Name of the preset."""
        ...

    @property
    def stimulus(self) -> StimulusKind:
        """What it is measured on."""
        ...

    @property
    def needs_predict(self) -> bool:
        """Whether it runs the model again."""
        ...

    @property
    def direction(self) -> Literal["higher", "lower"]:
        """Which scores are better."""
        ...

    @property
    def chance(self) -> Literal["area"] | float | None:
        """Score of a map without information: the share of the area, a number, or unknown."""
        ...

    @property
    def source(self) -> str:
        """Where the definition comes from."""
        ...

    @property
    def defaults(self) -> Mapping[str, Param]:
        """Every parameter with the preset's value."""
        ...


class Predict(Protocol):
    """The model as perturbation metrics see it."""

    def encode(self, images: Tensor) -> Tensor:
        """Map images `(B, 3, H, W)` in [0, 1] to network input."""
        ...

    def logits(self, encoded: Tensor) -> Tensor:
        """Map network input to logits `(B, C)`."""
        ...

    def probability(self, logits: Tensor) -> Tensor:
        """Map logits to probabilities."""
        ...


class Scored(Protocol):
    """The scores of a batch."""

    @property
    def values(self) -> Tensor:
        """Scores `(B, K)`, float64, NaN where undefined."""
        ...

    @property
    def status(self) -> Sequence[Sequence[str]]:
        """A status for each score."""
        ...

    @property
    def chance(self) -> Tensor:
        """Chance level of each score `(B, K)`, NaN where unknown."""
        ...

    @property
    def curves(self) -> Tensor | None:
        """Curves `(B, K, n_steps)` behind the scores, or None."""
        ...


class Metric(Protocol):
    """Scores attributions."""

    @property
    def info(self) -> MetricInfo:
        """Name, preset, direction, needs."""
        ...

    def score(
        self,
        maps: Tensor,
        images: Tensor,
        targets: Tensor,
        regions: Tensor,
        predict: Predict | None = None,
        **params: Param,
    ) -> Scored:
        """Score maps `(B, K, H, W)` of images `(B, 3, H, W)` against regions `(B, K, H, W)`."""
        ...


def metrics() -> Mapping[str, Metric]:
    """Return all metrics by `name/preset`."""
    return cast("Mapping[str, Metric]", _load("bcos_eval.metrics").METRICS)


def default_presets() -> Mapping[str, str]:
    """Return the preset that a plain metric name stands for, by name."""
    return cast("Mapping[str, str]", _load("bcos_eval.metrics").DEFAULT_PRESETS)


def explainers() -> Mapping[str, Explainer]:
    """Return all explainers by name."""
    return cast("Mapping[str, Explainer]", _load("bcos_eval.baselines").EXPLAINERS)


def find_metric(name: str) -> Metric:
    """Return the metric called `name` or `name/preset`.

    Raises:
        InputError: If there is none; with near matches.
    """
    known = metrics()
    presets = default_presets()
    full_name = f"{name}/{presets[name]}" if name in presets else name
    if full_name not in known:
        raise unknown_name("metric", name, [*presets, *known])
    return known[full_name]


def find_explainer(name: str) -> Explainer:
    """Return the explainer called `name`.

    Raises:
        InputError: If there is none; with near matches.
    """
    known = explainers()
    if name not in known:
        raise unknown_name("method", name, known)
    return known[name]


def _load(module: str) -> ModuleType:
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        if error.name != module:
            raise
        raise InputError(
            f"{module} is not installed; it lies beside bcos_eval in the checkout: "
            "install with `pip install -e .`."
        ) from error
