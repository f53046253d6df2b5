"""What the core expects of metrics and explainers, and what they may expect of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal, Protocol

from torch import Tensor

Param = float | int | str | bool
StimulusKind = Literal["grid", "mosaic", "single"]
View = Literal["plain", "rescaled", "strided", "strided_padded", "difull", "dipart"]


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
    def needs_explain(self) -> bool:
        """Whether it runs the explainer again."""
        ...

    @property
    def needs_counterfactuals(self) -> bool:
        """Whether it compares with scenes that lack a part."""
        ...

    @property
    def view(self) -> View:
        """How the network is shown its stimuli."""
        ...

    @property
    def note(self) -> str:
        """Whom the preset is for, where that is not everyone."""
        ...

    @property
    def direction(self) -> Literal["higher", "lower"]:
        """Which scores are better."""
        ...

    @property
    def low(self) -> float:
        """Smallest score possible, minus infinity where there is none."""
        ...

    @property
    def high(self) -> float:
        """Largest score possible, infinity where there is none."""
        ...

    @property
    def chance(self) -> Literal["area", "model"] | float | None:
        """Score of a map without information: share of the area, measured on the model, a number, or unknown."""
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
        """Map logits `(B, C)` to probabilities, by the non-linearity the network was trained with."""
        ...


class Counterfactuals(Protocol):
    """One scene without each of its R parts in turn."""

    @property
    def images(self) -> Tensor:
        """Pictures without part r, `(R, 3, H, W)` in [0, 1]."""
        ...

    @property
    def regions(self) -> Tensor:
        """True on the pixels of part r, `(R, H, W)` bool; disjoint, none empty."""
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
        *,
        seed: int = 0,
        counterfactuals: Sequence[Counterfactuals] = (),
        **params: Param,
    ) -> Scored:
        """Score maps `(B, K, H, W)` of images `(B, 3, H, W)` against regions `(B, K, H, W)`."""
        ...
