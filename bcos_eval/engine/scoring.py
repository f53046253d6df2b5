"""Attributions of a batch of stimuli, made once and scored by every metric that asked for them."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from bcos_eval.data import Stimulus
from bcos_eval.plugins import Network, find_explainer, find_metric

from .choice import Choice


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
    """A network as perturbation metrics see it; no graph is kept."""

    network: Network

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


def score_batch(
    network: Network,
    method: Choice,
    metrics: Sequence[Choice],
    stimuli: Sequence[Stimulus],
    *,
    seed: int,
    device: torch.device,
    n_maps: int = 0,
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
        n_maps: Number of targets whose maps are returned with the scores.
    """
    images = torch.stack([stimulus.image for stimulus in stimuli]).to(device)
    targets = torch.stack([stimulus.targets for stimulus in stimuli]).to(device)  # (B, K)
    regions = torch.stack([stimulus.regions for stimulus in stimuli]).to(device)
    started = _now(device)
    explainer = find_explainer(method.name)
    single = zip(images.split(1), targets.split(1), strict=True)
    maps = torch.cat([explainer(network, image, wanted, seed=seed, **method.params) for image, wanted in single])
    seconds = (_now(device) - started) / targets.numel()
    scored = [_score(network, metric, maps, images, targets, regions) for metric in metrics]
    return [
        ScoredStimulus(stimulus, maps[b, :n_maps].cpu(), tuple(of_metric[b] for of_metric in scored), seconds)
        for b, stimulus in enumerate(stimuli)
    ]


def _score(
    network: Network, choice: Choice, maps: Tensor, images: Tensor, targets: Tensor, regions: Tensor
) -> list[StimulusScores]:
    metric = find_metric(choice.name)
    predict = Prediction(network) if metric.info.needs_predict else None
    scored = metric.score(maps, images, targets, regions, predict, **choice.params)
    values, chance = scored.values.tolist(), scored.chance.tolist()
    return [
        StimulusScores(
            values=tuple(values[b]),
            status=tuple(str(status) for status in scored.status[b]),
            chance=tuple(chance[b]),
            curves=None if scored.curves is None else scored.curves[b].cpu(),
        )
        for b in range(len(maps))
    ]


def _now(device: torch.device) -> float:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter()
