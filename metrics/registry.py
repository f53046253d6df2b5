"""What a metric is, what it returns, and the table of all metrics by `name/preset`."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Literal, Protocol, TypeVar, cast

from torch import Tensor, nn

from bcos_eval.contract.types import Counterfactuals, Param, Predict, View

from .precision import in_float64
from .shapes import require_batch_shapes

_N_NEAR_MATCHES = 3


class Status(StrEnum):
    """How far the score of a unit can be trusted.

    A metric's docstring says what it scores a map of each status; NaN where nothing is said.
    """

    OK = "ok"
    ZERO_MAP = "zero_map"
    CONSTANT_MAP = "constant_map"
    NONFINITE = "nonfinite"
    EMPTY_REGION = "empty_region"
    SKIPPED = "skipped"


class Explained(Predict, Protocol):
    """The model together with the explainer that made the maps, as metrics see them that explain again."""

    @property
    def network(self) -> nn.Module:
        """The model itself; to be copied, never changed."""
        ...

    def explain(self, images: Tensor, targets: Tensor) -> Tensor:
        """Map images `(B, 3, H, W)` and targets `(B, K)` to maps `(B, K, H, W)`, as the scored maps were made."""
        ...

    def constant_terms(self, encoded: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        """Return what belongs to no pixel of each target's logit: bias and position codes, `(B, K)` each."""
        ...

    def with_network(self, network: nn.Module) -> Explained:
        """Return the same explainer on another network."""
        ...


@dataclass(frozen=True, slots=True)
class MetricInfo:
    """What tables, figures and the engine must know of a metric without running it.

    Attributes:
        name: Registered name.
        preset: One reading of the metric; scores compare within a preset only.
        stimulus: Whether units are cells of grids, classes of mosaics or single images.
        needs_predict: Whether scoring runs the model.
        direction: Which scores are better.
        low: Smallest score possible.
        high: Largest score possible.
        chance: Expected score of a map that knows nothing: "area" where it depends on the region and "model" where
            it was measured on the model (both come with each unit), None where it depends on the model.
        source: Paper or code with its place.
        defaults: Parameters with their values. `pool` (how grids are drawn) and `n` (cells per side)
            describe the stimulus and are read by whoever makes it.
        needs_explain: Whether scoring also explains again, see `Explained`.
        scale_invariant: Whether a map times a positive number has the same score.
        needs_counterfactuals: Whether scoring compares with images that lack a part of the scene.
        view: How the network is shown a grid: whole ("plain"), with cells scaled down so that the grid has the
            network's native size ("rescaled"), through overlapping windows of a cell's size ("strided",
            "strided_padded"), or with its head, or all of it, cut off from the other cells ("dipart", "difull").
        note: Whom the preset is for, where that is not everyone.
    """

    name: str
    preset: str
    stimulus: Literal["grid", "mosaic", "single"]
    needs_predict: bool
    direction: Literal["higher", "lower"]
    low: float
    high: float
    chance: Literal["area", "model"] | float | None
    source: str
    defaults: Mapping[str, Param] = field(default_factory=dict)
    needs_explain: bool = False
    scale_invariant: bool = True
    needs_counterfactuals: bool = False
    view: View = "plain"
    note: str = ""

    @property
    def key(self) -> str:
        """The registered key, `name/preset`."""
        return f"{self.name}/{self.preset}"


@dataclass(frozen=True, slots=True)
class Scored:
    """The scores of a batch of units, on the CPU.

    Attributes:
        values: Scores `(B, K)`, float64; NaN where undefined.
        status: Status of each unit, B tuples of length K.
        chance: Chance level of each unit `(B, K)`, float64; NaN where unknown.
        curves: What a figure needs beyond the score `(B, K, T)`, float64: model outputs along the perturbation, or
            a small map row by row; None for metrics without.
    """

    values: Tensor
    status: tuple[tuple[Status, ...], ...]
    chance: Tensor
    curves: Tensor | None = None


@dataclass(frozen=True, slots=True)
class Batch:
    """What a scoring function is given: tensors of matching shapes, maps in float64.

    Attributes:
        maps: Signed attributions `(B, K, H, W)`, any scale.
        images: Pixels `(B, 3, H, W)` in [0, 1].
        targets: Explained classes `(B, K)`, int64.
        regions: True where the target's evidence is, `(B, K, H, W)` bool; all False where unknown.
        predict: The model, for metrics that need it.
        seed: Seed of the run, for metrics that draw at random.
        counterfactuals: For each image, the scene without its parts; empty for metrics that do not need them.
    """

    maps: Tensor
    images: Tensor
    targets: Tensor
    regions: Tensor
    predict: Predict | None
    seed: int = 0
    counterfactuals: Sequence[Counterfactuals] = ()

    @property
    def model(self) -> Predict:
        """The model, for metrics that declared the need.

        Raises:
            ValueError: If none was given.
        """
        if self.predict is None:
            raise ValueError("predict is None; a perturbation metric runs the model: pass one as predict=…")
        return self.predict

    @property
    def explained(self) -> Explained:
        """The model with its explainer, for metrics that declared the need.

        Raises:
            ValueError: If none was given, or a model alone.
        """
        if not hasattr(self.model, "explain"):
            raise ValueError(
                "predict has no explain(); this metric explains again: pass a model with its explainer."
            )
        return cast("Explained", self.model)


ScoreFunction = Callable[..., Scored]
_F = TypeVar("_F", bound=ScoreFunction)


@dataclass(frozen=True, slots=True)
class Metric:
    """A scoring function `(batch, **params)` with its description; checks what comes in."""

    info: MetricInfo
    function: ScoreFunction

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
        """Score B stimuli with K targets each.

        Raises:
            ValueError: If shapes or types do not match, a parameter is unknown, or the model or the scenes
                without their parts are missing.
        """
        require_batch_shapes(maps, images, targets, regions)
        values = resolve_params(self.info, params)
        exact = in_float64(maps)
        if self.info.needs_counterfactuals and len(counterfactuals) != len(images):
            raise ValueError(
                f"{len(counterfactuals)} counterfactuals for {len(images)} images; '{self.info.key}' compares "
                "with scenes that lack a part: pass counterfactuals=…, one entry per image."
            )
        batch = Batch(exact, images, targets, regions.to(exact.device), predict, seed, counterfactuals)
        return self.function(batch, **values)


METRICS: dict[str, Metric] = {}
DEFAULT_PRESETS: dict[str, str] = {}


def register_metric(info: MetricInfo, *, recommended: bool = False) -> Callable[[_F], _F]:
    """Return a decorator that enters a scoring function under `info.key` and returns it unchanged.

    Args:
        info: The metric's description.
        recommended: Whether the plain name means this preset.

    Raises:
        ValueError: If the key, or the name's recommended preset, is taken.
    """
    if info.key in METRICS:
        raise ValueError(f"metric '{info.key}' is registered already; a different number needs another preset.")
    if recommended and info.name in DEFAULT_PRESETS:
        taken = DEFAULT_PRESETS[info.name]
        raise ValueError(f"metric '{info.name}' already recommends preset '{taken}'; recommend one only.")

    def enter(function: _F) -> _F:
        METRICS[info.key] = Metric(info, function)
        if recommended:
            DEFAULT_PRESETS[info.name] = info.preset
        return function

    return enter


def get_metric(key: str) -> Metric:
    """Return the metric `name/preset`, or the recommended preset of a plain name.

    Raises:
        ValueError: If there is none; the message offers near matches.
    """
    full = f"{key}/{DEFAULT_PRESETS[key]}" if key in DEFAULT_PRESETS else key
    if full not in METRICS:
        known = sorted({*METRICS, *DEFAULT_PRESETS})
        near = difflib.get_close_matches(key, known, n=_N_NEAR_MATCHES, cutoff=0.5)
        hint = f"did you mean {' or '.join(near)}?" if near else f"known: {', '.join(known)}."
        raise ValueError(f"unknown metric '{key}'; {hint}")
    return METRICS[full]


def resolve_params(info: MetricInfo, given: Mapping[str, Param]) -> dict[str, Param]:
    """Return the metric's defaults overridden by what was given.

    Raises:
        ValueError: If a name is unknown or a value is not of the default's type.
    """
    for name, value in given.items():
        if name not in info.defaults:
            known = ", ".join(info.defaults) or "none"
            raise ValueError(f"metric '{info.key}' has no parameter '{name}'; its parameters: {known}.")
        kind = type(info.defaults[name])
        allowed = (int, float) if kind is float else (kind,)
        if isinstance(value, bool) or not isinstance(value, allowed):
            raise ValueError(f"metric '{info.key}': {name}={value!r} is not of type {kind.__name__}; give one.")
    return {**info.defaults, **given}
