"""What a metric is, what it is given and what it returns."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal, TypeVar

import torch
from torch import Tensor

from bcos_eval.errors import unknown_name

from .exactness import in_float64
from .explained_model import ExplainedModel
from .params import Limits, Owner, Param, Range, limits_of
from .shapes import require_batch_shapes
from .statuses import Status, Statuses
from .stimulus import Counterfactuals

Direction = Literal["higher", "lower"]
Need = Literal["model", "explainer", "counterfactuals"]
# Which single images a metric is scored on, and which class of theirs is explained.
Images = Literal["all", "correct"]
Target = Literal["label", "predicted"]
View = Literal["plain", "rescaled", "strided", "strided_padded", "difull", "dipart"]


@dataclass(frozen=True, slots=True)
class CurveAxes:
    """What the points of a metric's curves are, for whoever draws them.

    Attributes:
        x: What changes along the curve.
        y: What is measured at each point.
        first: Where the first point lies on the horizontal axis; None where points are numbered from 1.
        last: Where the last one does, likewise.
        parts: Names of curves of equal length that are stored one after the other; empty for a single one.
    """

    x: str
    y: str
    first: float | None = None
    last: float | None = None
    parts: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class MetricInfo:
    """What tables, figures and the engine must know of a metric without running it.

    Attributes:
        name: Registered name.
        preset: One reading of the metric; scores compare within a preset only.
        stimulus: What units it is measured on: the name of a kind of stimulus, see `bcos_eval.stimuli`.
        direction: Which scores are better.
        low: Smallest score possible.
        high: Largest score possible.
        chance: Expected score of a map that knows nothing: "area" where it depends on the region and "model" where
            it was measured on the model (both come with each unit), None where it is unknown.
        source: Paper or code with its place.
        defaults: Parameters with their values. `rule` (how grids are drawn) and `n` (cells per side) describe the
            stimulus and are read by whoever makes it.
        needs: What scoring takes beside maps and regions: the "model" for its predictions, the "explainer" for
            maps of changed images, "counterfactuals", the scene without each of its parts.
        scale_invariant: Whether a map times a positive number has the same score.
        view: How the network is shown a grid: whole ("plain"), with cells scaled down so that the grid has the
            network's native size ("rescaled"), through overlapping windows of a cell's size ("strided",
            "strided_padded"), or with its head, or all of it, cut off from the other cells ("dipart", "difull").
        note: Whom the preset is for, where that is not everyone.
        mean_over_classes: Whether its mean is that of the classes' means, as its authors report it.
        expensive: Whether a unit takes tens of passes or more.
        headline: Whether it belongs to the short list that a first table shows.
        curve: What its curves show; None for metrics without, and for those that keep something else there.
        images: Which single images it is scored on: all, or those that all models of a run classify correctly.
        target: Which class of a single image is explained: its label, or what the model predicts.
    """

    name: str
    preset: str
    stimulus: str
    direction: Direction
    low: float
    high: float
    chance: Literal["area", "model"] | float | None
    source: str
    defaults: Mapping[str, Param] = field(default_factory=dict)
    needs: tuple[Need, ...] = ()
    scale_invariant: bool = True
    view: View = "plain"
    note: str = ""
    mean_over_classes: bool = False
    expensive: bool = False
    headline: bool = False
    curve: CurveAxes | None = None
    images: Images = "all"
    target: Target = "label"

    @property
    def key(self) -> str:
        """The registered key, `name/preset`."""
        return f"{self.name}/{self.preset}"

    def variant(self, preset: str, **changes: object) -> MetricInfo:
        """Return the description of another preset: the same but for what is given."""
        return replace(self, preset=preset, **changes)  # type: ignore[arg-type] # checked by the dataclass


@dataclass(frozen=True, slots=True)
class Scored:
    """The scores of a batch of units, on the CPU.

    Attributes:
        values: Scores `(B, K)`, float64; NaN where undefined.
        status: Status of each unit, B tuples of length K.
        chance: Chance level of each unit `(B, K)`, float64; NaN where unknown.
        curves: What a figure needs beyond the score `(B, K, T)`, float64: model outputs along the perturbation, or
            a small map row by row; None for metrics without.
        tied: Share of the map's pixels that are equal to another one, `(B, K)` float64 in [0, 1]: how much of the
            score a tie order decides; None for metrics that order nothing.
    """

    values: Tensor
    status: Statuses
    chance: Tensor
    curves: Tensor | None = None
    tied: Tensor | None = None


@dataclass(frozen=True, slots=True)
class Batch:
    """What a scoring function is given: tensors of matching shapes, maps in float64.

    Attributes:
        maps: Signed attributions `(B, K, H, W)`, any scale.
        images: Pixels `(B, 3, H, W)` in [0, 1].
        targets: Explained classes `(B, K)`, int64.
        regions: True where the target's evidence is, `(B, K, H, W)` bool; all False where unknown.
        given_model: The model with its explainer, for metrics that need it.
        seed: Seed of the run, for metrics that draw at random.
        counterfactuals: For each image, the scene without its parts; empty for metrics that do not need them.
    """

    maps: Tensor
    images: Tensor
    targets: Tensor
    regions: Tensor
    given_model: ExplainedModel | None = None
    seed: int = 0
    counterfactuals: Sequence[Counterfactuals] = ()

    @property
    def model(self) -> ExplainedModel:
        """The model with its explainer, for metrics that declared the need.

        Raises:
            ValueError: If none was given.
        """
        if self.given_model is None:
            raise ValueError("no model was given; this metric runs it: pass an ExplainedModel as model=…")
        return self.given_model


# What describes the stimulus, which scoring functions need not know: a grid has two cells per side or more.
_STIMULUS_RANGES = {"n": Range(low=2)}

ScoreFunction = Callable[..., Scored]


@dataclass(frozen=True, slots=True)
class Metric:
    """A scoring function `(batch, **params)` with its description; checks what comes in.

    Attributes:
        info: Name, preset, direction, needs.
        function: Makes the scores.
        code: Identity of a user's own code; empty for the suite's, which the version stands for.
    """

    info: MetricInfo
    function: ScoreFunction
    code: str = ""

    def score(
        self,
        maps: Tensor,
        images: Tensor,
        targets: Tensor,
        regions: Tensor,
        model: ExplainedModel | None = None,
        *,
        seed: int = 0,
        counterfactuals: Sequence[Counterfactuals] = (),
        **params: Param,
    ) -> Scored:
        """Score B stimuli with K targets each.

        A score that is NaN or infinite never has the status `ok`: where the scoring function found nothing wrong
        with the map, the network gave NaN or infinity on the way, and the score is NaN with status `nonfinite`.

        Raises:
            ValueError: If shapes or types do not match, a parameter is unknown or not allowed, or the model or the
                scenes without their parts are missing.
        """
        require_batch_shapes(maps, images, targets, regions)
        values = {**self.info.defaults, **self.checked(params)}
        exact = in_float64(maps)
        if "counterfactuals" in self.info.needs and len(counterfactuals) != len(images):
            raise ValueError(
                f"{len(counterfactuals)} counterfactuals for {len(images)} images; '{self.info.key}' compares "
                "with scenes that lack a part: pass counterfactuals=…, one entry per image."
            )
        batch = Batch(exact, images, targets, regions.to(exact.device), model, seed, counterfactuals)
        return _marked(self.function(batch, **values))

    @property
    def all_defaults(self) -> Mapping[str, Param]:
        """Every parameter with the preset's value."""
        return self.info.defaults

    @property
    def speed_only(self) -> frozenset[str]:
        """Parameters that change how fast scores are made, not the scores."""
        return limits_of(self.function).speed_only

    def checked(self, params: Mapping[str, object]) -> dict[str, Param]:
        """Return parameters in the types of their defaults.

        Raises:
            InputError: If one is unknown or its value not allowed.
        """
        own = limits_of(self.function)
        limits = Limits({**_STIMULUS_RANGES, **own.ranges}, own.choices)
        return Owner("metric", self.info.key, self.info.defaults, limits).checked(params)


def _marked(scored: Scored) -> Scored:
    """Return scores of which none that is not finite has the status `ok`."""
    finite = scored.values.isfinite()
    if finite.all():
        return scored
    status = tuple(
        tuple(
            Status.NONFINITE if found == Status.OK and not fine else found
            for found, fine in zip(row, of_row, strict=True)
        )
        for row, of_row in zip(scored.status, finite.tolist(), strict=True)
    )
    return replace(scored, values=scored.values.masked_fill(~finite, torch.nan), status=status)


METRICS: dict[str, Metric] = {}
DEFAULT_PRESETS: dict[str, str] = {}

F = TypeVar("F", bound=ScoreFunction)


def register_metric(info: MetricInfo, *, recommended: bool = False) -> Callable[[F], F]:
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

    def enter(function: F) -> F:
        METRICS[info.key] = Metric(info, function)
        if recommended:
            DEFAULT_PRESETS[info.name] = info.preset
        return function

    return enter


def get_metric(key: str) -> Metric:
    """Return the metric `name/preset`, or the recommended preset of a plain name.

    Raises:
        InputError: If there is none; the message offers near matches.
    """
    full = f"{key}/{DEFAULT_PRESETS[key]}" if key in DEFAULT_PRESETS else key
    if full not in METRICS:
        raise unknown_name("metric", key, {*METRICS, *DEFAULT_PRESETS})
    return METRICS[full]


def unknown_chance(values: Tensor) -> Tensor:
    """Return the chance levels of scores `(B, K)` for which there is none."""
    return torch.full_like(values, torch.nan)
