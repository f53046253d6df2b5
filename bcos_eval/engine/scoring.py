"""Attributions of a batch of stimuli, made once and scored by every metric that asked for them."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, cast

import torch
from torch import Tensor, nn

from bcos_eval.contract.plugins import Network, find_explainer, find_metric
from bcos_eval.stimuli.source import SINGLE, StimulusKind
from bcos_eval.stimuli.stimulus import Counterfactuals, Stimulus
from bcos_eval.stimuli.windows import explain_in_view

from .choice import Choice
from .memory import Memory


@dataclass(frozen=True, slots=True)
class StimulusScores:
    """What one metric says about one stimulus, K units.

    Attributes:
        values: Scores, length K, NaN where undefined.
        status: A status for each score.
        chance: Chance level of each score, NaN where unknown.
        curves: Curves behind the scores `(K, n_steps)`, or None.
    """

    values: tuple[float, ...]
    status: tuple[str, ...]
    chance: tuple[float, ...]
    curves: Tensor | None


@dataclass(frozen=True, slots=True)
class ScoredStimulus:
    """A stimulus with its attributions and scores.

    Attributes:
        stimulus: What was shown.
        maps: Signed attributions of the first targets, on the CPU.
        scores: One entry per metric, in the order asked for.
        seconds: Time its attributions took, per unit: a batch's time shared equally among its units.
    """

    stimulus: Stimulus
    maps: Tensor
    scores: tuple[StimulusScores, ...]
    seconds: float


@dataclass(frozen=True, slots=True)
class Prediction:
    """A network with the explainer of its maps, as metrics see them; no graph is kept.

    Attributes:
        network: The network.
        method: What explains it, with its parameters.
        seed: Seed of the explainer.
        memory: What the network said before.
    """

    network: Network
    method: Choice
    seed: int
    memory: Memory = field(default_factory=Memory)

    def encode(self, images: Tensor) -> Tensor:
        """Map images `(B, 3, H, W)` in [0, 1] to network input."""
        return self.network.encode(images)

    def logits(self, encoded: Tensor) -> Tensor:
        """Map network input to logits `(B, C)`."""
        with torch.no_grad():
            return self.network(encoded)

    def probability(self, logits: Tensor) -> Tensor:
        """Map logits to probabilities."""
        return self.network.probability(logits)

    def remembered(self, key: str, make: Callable[[], Tensor]) -> Tensor:
        """Return what `make` gives; not called if the network was asked under the same key before."""
        return self.memory.recall(key, make)

    def explain(self, images: Tensor, targets: Tensor) -> Tensor:
        """Map images `(B, 3, H, W)` and targets `(B, K)` to maps `(B, K, H, W)`, an image at a time."""
        return self.explain_network(self.network, images, targets)

    def explain_network(self, network: Network, images: Tensor, targets: Tensor) -> Tensor:
        """Return what `explain` does, of a network that is shown this one's images differently."""
        explainer = find_explainer(self.method.name)
        single = zip(images.split(1), targets.split(1), strict=True)
        maps = [explainer(network, image, k, seed=self.seed, **self.method.params) for image, k in single]
        return torch.cat(maps)

    def constant_terms(self, encoded: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        """Return each target's logit bias and what position codes hold of its logit, `(B, K)` each."""
        bias = torch.full(targets.shape, float(getattr(self.network, "logit_bias", 0.0)), device=encoded.device)
        position_term = getattr(self.network, "position_term", None)
        if position_term is None:
            return bias, torch.zeros_like(bias)
        return bias, position_term(encoded, targets).detach()

    def with_network(self, network: nn.Module) -> Prediction:
        """Return the same explainer on another network."""
        return replace(self, network=cast("Network", network), memory=Memory())


def score_batch(
    network: Network,
    method: Choice,
    metrics: Sequence[Choice],
    stimuli: Sequence[Stimulus],
    *,
    seed: int,
    device: torch.device,
    kind: StimulusKind = SINGLE,
    n_maps: int = 0,
    memory: Memory | None = None,
) -> list[ScoredStimulus]:
    """Explain stimuli of one shape, all targets in one call each, and score the attributions by every metric.

    Stimuli are explained one at a time: the rounding of a batched convolution depends on the size of the batch,
    and a difference in the eighth digit puts nearly equal pixels in another order, which shows in perturbation
    curves.

    Args:
        network: On `device`.
        method: Explainer with its parameters.
        metrics: Metrics with their parameters.
        stimuli: B stimuli with equal image sizes and numbers of targets.
        seed: Seed of the run.
        device: Where to compute.
        kind: What the stimuli are, which says how the network is shown them.
        n_maps: Number of targets whose maps are returned with the scores.
        memory: What this network said before, which saves asking again; one for this call if not given.
    """
    images = torch.stack([stimulus.image for stimulus in stimuli]).to(device)
    targets = torch.stack([stimulus.targets for stimulus in stimuli]).to(device)  # (B, K)
    regions = torch.stack([stimulus.regions for stimulus in stimuli]).to(device)
    prediction = Prediction(network, method, seed, Memory() if memory is None else memory)
    started = _now(device)
    maps = explain_in_view(prediction.explain_network, network, kind, images, targets)
    seconds = (_now(device) - started) / targets.numel()
    given = _Given(maps, images, targets, regions, _counterfactuals(metrics, stimuli))
    scored = [_score(prediction, metric, given) for metric in metrics]
    return [
        ScoredStimulus(stimulus, maps[b, :n_maps].cpu(), tuple(of_metric[b] for of_metric in scored), seconds)
        for b, stimulus in enumerate(stimuli)
    ]


@dataclass(frozen=True, slots=True)
class _Given:
    """What metrics are given of a batch."""

    maps: Tensor
    images: Tensor
    targets: Tensor
    regions: Tensor
    counterfactuals: Sequence[Counterfactuals]


def _counterfactuals(metrics: Sequence[Choice], stimuli: Sequence[Stimulus]) -> list[Counterfactuals]:
    """Return the scenes without their parts, if a metric wants them: rendering takes longer than most metrics."""
    if not any(find_metric(choice.name).info.needs_counterfactuals for choice in metrics):
        return []
    return [stimulus.counterfactuals() for stimulus in stimuli if stimulus.counterfactuals is not None]


def _score(prediction: Prediction, choice: Choice, given: _Given) -> list[StimulusScores]:
    metric = find_metric(choice.name)
    predict = prediction if metric.info.needs_predict else None
    keywords: dict[str, Any] = {"seed": prediction.seed, **choice.params}
    if metric.info.needs_counterfactuals:
        keywords["counterfactuals"] = given.counterfactuals
    scored = metric.score(given.maps, given.images, given.targets, given.regions, predict, **keywords)
    values, chance = scored.values.tolist(), scored.chance.tolist()
    return [
        StimulusScores(
            values=tuple(values[b]),
            status=tuple(str(status) for status in scored.status[b]),
            chance=tuple(chance[b]),
            curves=None if scored.curves is None else scored.curves[b].cpu(),
        )
        for b in range(len(given.maps))
    ]


def _now(device: torch.device) -> float:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter()
