"""Attributions of a batch of stimuli, made once and scored by every metric that asked for them."""

from __future__ import annotations

import functools
import json
import math
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from bcos_eval.contract.explained_model import ExplainedModel, Memory
from bcos_eval.contract.explainer import Explainer
from bcos_eval.contract.metric import Metric
from bcos_eval.contract.network import Network
from bcos_eval.contract.statuses import Status
from bcos_eval.contract.stimulus import Counterfactuals, Stimulus
from bcos_eval.stimuli import StimulusKind

from .batch import explains_together
from .choice import Choice
from .failures import Failure, Failures, directly
from .kept_maps import KeptMap, KeptMaps, MapKey


@dataclass(frozen=True, slots=True)
class StimulusScores:
    """What one metric says about one stimulus, K units.

    Attributes:
        values: Scores, length K, NaN where undefined.
        status: A status for each score.
        chance: Chance level of each score, NaN where unknown.
        curves: Curves behind the scores `(K, n_steps)`, or None.
        tied: Share of the pixels of each map that are equal to another one, None where nothing was ordered.
        reason: Why there are no scores, where the method or the metric raised.
    """

    values: tuple[float, ...]
    status: tuple[str, ...]
    chance: tuple[float, ...]
    curves: Tensor | None
    tied: tuple[float, ...] | None = None
    reason: str = ""


@dataclass(frozen=True, slots=True)
class ScoredStimulus:
    """A stimulus with its attributions and scores.

    Attributes:
        stimulus: What was shown.
        maps: Signed attributions of the first targets, on the CPU; None where the method raised.
        scores: One entry per metric, in the order asked for.
        seconds: Time its attributions took, per unit: a batch's time shared equally among its units.
    """

    stimulus: Stimulus
    maps: Tensor | None
    scores: tuple[StimulusScores, ...]
    seconds: float


def score_batch(
    network: Network,
    method: Choice[Explainer],
    metrics: Sequence[Choice[Metric]],
    stimuli: Sequence[Stimulus],
    *,
    seed: int,
    device: torch.device,
    kind: StimulusKind,
    n_maps: int | None = 0,
    memory: Memory | None = None,
    failures: Failures | None = None,
    may_refuse: bool = False,
    restore: Callable[[str], None] | None = None,
    kept: KeptMaps | None = None,
) -> list[ScoredStimulus]:
    """Explain stimuli of one shape, all targets in one call each, and score the attributions by every metric.

    On a CPU stimuli are explained one at a time, on a GPU in passes of at most the batch's pixels, see
    `ExplainedModel.explain_network`.

    Args:
        network: On `device`.
        method: Explainer with its parameters.
        metrics: Metrics with their parameters.
        stimuli: B stimuli with equal image sizes and numbers of targets.
        seed: Seed of the run.
        device: Where to compute.
        kind: What the stimuli are, which says how the network is shown them.
        n_maps: Number of targets whose maps are returned with the scores, None for all.
        memory: What this network said before, which saves asking again; one for this call if not given.
        failures: What becomes of a stimulus on which the method or a metric raises; None raises on.
        may_refuse: Whether an `InputError` on the first stimulus is raised whatever `failures` says.
        restore: Puts the network back after a user's code, whose name it is told.
        kept: Attributions of this network on the same pictures, which are not made again.
    """
    images = torch.stack([stimulus.image for stimulus in stimuli]).to(device)
    targets = torch.stack([stimulus.targets for stimulus in stimuli]).to(device)  # (B, K)
    regions = torch.stack([stimulus.regions for stimulus in stimuli]).to(device)
    pass_pixels = images[:, 0].numel() if explains_together(device) else 1
    memory = Memory() if memory is None else memory
    model = ExplainedModel(network, method.entry, method.params, seed, memory, pass_pixels)
    each = functools.partial(directly if failures is None else failures.each, may_refuse=may_refuse)

    def explained(places: Sequence[int]) -> Sequence[Tensor]:
        made: list[Tensor] = []
        # A user's code finds the network as it was for every image.
        for part in [[place] for place in places] if method.entry.code else [[*places]]:
            with _restored(restore if method.entry.code else None, f"method '{method.label}'"):
                made += kind.explain(model.explain_network, network, images[part], targets[part])
        return made

    def scored_by(metric: Choice[Metric], given: _Given, places: Sequence[int]) -> Sequence[StimulusScores]:
        if not metric.entry.code:
            return _score(model, metric, given.at(places))
        # A user's code gets tensors and a memory of its own, which it may change.
        with _restored(restore, f"metric '{metric.label}'"):
            return _score(replace(model, memory=Memory()), metric, given.at(places).cloned())

    def made(todo: Sequence[int]) -> Sequence[Tensor | Failure]:
        ids = [stimuli[b].stimulus_id for b in todo]
        return each(lambda places: explained([todo[at] for at in places]), ids, what=f"method '{method.label}'")

    keys = [_map_key(method, stimulus) for stimulus in stimuli]
    maps, seconds = _kept_or_made(keys, kept, made, lambda: _now(device), targets.shape[1])
    places = [b for b, found in enumerate(maps) if not isinstance(found, Failure)]
    by_place: dict[int, list[StimulusScores]] = {b: [] for b in places}
    if places:
        with_map = [stimuli[b] for b in places]
        stacked = torch.stack([found for found in maps if not isinstance(found, Failure)])
        given = _Given(
            stacked, images[places], targets[places], regions[places], _counterfactuals(metrics, with_map)
        )
        for metric in metrics:
            scored = each(
                functools.partial(scored_by, metric, given),
                [one.stimulus_id for one in with_map],
                what=f"metric '{metric.label}'",
            )
            for b, scores in zip(places, scored, strict=True):
                by_place[b].append(_failed(scores, targets) if isinstance(scores, Failure) else scores)
    return [
        _scored_stimulus(stimuli[b], maps[b], by_place.get(b), seconds[b], n_maps, len(metrics))
        for b in range(len(stimuli))
    ]


@contextmanager
def _restored(restore: Callable[[str], None] | None, culprit: str) -> Iterator[None]:
    try:
        yield
    finally:
        if restore is not None:
            restore(culprit)


def _scored_stimulus(
    stimulus: Stimulus,
    maps: Tensor | Failure,
    scores: Sequence[StimulusScores] | None,
    seconds: float,
    n_maps: int | None,
    n_metrics: int,
) -> ScoredStimulus:
    if isinstance(maps, Failure):
        return ScoredStimulus(stimulus, None, (_failed(maps, stimulus.targets[None]),) * n_metrics, seconds)
    return ScoredStimulus(stimulus, maps[:n_maps].cpu(), tuple(scores or ()), seconds)


def _map_key(method: Choice[Explainer], stimulus: Stimulus) -> MapKey:
    return json.dumps(method.as_json(), sort_keys=True), stimulus.stimulus_id, tuple(stimulus.targets.tolist())


def _kept_or_made(
    keys: Sequence[MapKey],
    kept: KeptMaps | None,
    make: Callable[[Sequence[int]], Sequence[Tensor | Failure]],
    now: Callable[[], float],
    n_targets: int,
) -> tuple[list[Tensor | Failure], list[float]]:
    """Return maps and their seconds per target; those that are kept are not made again, new ones are kept."""
    found = {b: one for b, key in enumerate(keys) if kept is not None and (one := kept.get(key)) is not None}
    todo = [b for b in range(len(keys)) if b not in found]
    started = now()
    made = make(todo) if todo else []
    seconds = (now() - started) / (max(1, len(todo)) * n_targets)
    new = dict(zip(todo, made, strict=True))
    if kept is not None:
        for b, maps in new.items():
            if not isinstance(maps, Failure):
                kept.put(keys[b], KeptMap(maps.clone(), seconds))
    places = range(len(keys))
    return (
        [found[b].maps if b in found else new[b] for b in places],
        [found[b].seconds if b in found else seconds for b in places],
    )


def _failed(failure: Failure, targets: Tensor) -> StimulusScores:
    n_targets = targets.shape[1]
    missing = (math.nan,) * n_targets
    return StimulusScores(missing, (str(Status.FAILED),) * n_targets, missing, None, reason=failure.reason)


@dataclass(frozen=True, slots=True)
class _Given:
    """What metrics are given of a batch."""

    maps: Tensor
    images: Tensor
    targets: Tensor
    regions: Tensor
    counterfactuals: Sequence[Counterfactuals]

    def at(self, places: Sequence[int]) -> _Given:
        """Return what they are given of some stimuli of the batch."""
        if len(places) == len(self.maps):
            return self
        kept = [*places]
        return _Given(
            self.maps[kept],
            self.images[kept],
            self.targets[kept],
            self.regions[kept],
            [self.counterfactuals[place] for place in kept] if self.counterfactuals else (),
        )

    def cloned(self) -> _Given:
        """Return the same in tensors of its own."""
        return _Given(
            self.maps.clone(),
            self.images.clone(),
            self.targets.clone(),
            self.regions.clone(),
            [Counterfactuals(one.images.clone(), one.regions.clone()) for one in self.counterfactuals],
        )


def _counterfactuals(metrics: Sequence[Choice[Metric]], stimuli: Sequence[Stimulus]) -> list[Counterfactuals]:
    """Return the scenes without their parts, if a metric wants them: rendering takes longer than most metrics."""
    if not any("counterfactuals" in choice.entry.info.needs for choice in metrics):
        return []
    return [stimulus.counterfactuals() for stimulus in stimuli if stimulus.counterfactuals is not None]


def _score(model: ExplainedModel, choice: Choice[Metric], given: _Given) -> list[StimulusScores]:
    metric = choice.entry
    keywords: dict[str, Any] = {"seed": model.seed, **choice.params}
    if "counterfactuals" in metric.info.needs:
        keywords["counterfactuals"] = given.counterfactuals
    scored = metric.score(
        given.maps, given.images, given.targets, given.regions, model if metric.info.needs else None, **keywords
    )
    values, chance = scored.values.tolist(), scored.chance.tolist()
    return [
        StimulusScores(
            values=tuple(values[b]),
            status=tuple(str(status) for status in scored.status[b]),
            chance=tuple(chance[b]),
            curves=None if scored.curves is None else scored.curves[b].cpu(),
            tied=None if scored.tied is None else tuple(scored.tied[b].tolist()),
        )
        for b in range(len(given.maps))
    ]


def _now(device: torch.device) -> float:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter()
