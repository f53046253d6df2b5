"""How stored numbers compare with published ones, and why some of them cannot."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from bcos_eval.reports.tables.leaderboard import current_shards
from bcos_eval.statistics.intervals import mean_interval
from bcos_eval.statistics.quantiles import quantile_interval
from bcos_eval.statistics.resampling import grouped_mean
from bcos_eval.store.arrays import load_arrays
from bcos_eval.store.manifest import read_runs
from bcos_eval.store.pools import POOLS_FOLDER, pool_name
from bcos_eval.store.sealed import DamagedFileError
from bcos_eval.store.shards import Store, StoredShard

from .values import TOP1, PublishedValue, Quantity

Verdict = Literal["agrees", "differs", "not comparable", "not measured"]
_QUANTILES: Mapping[Quantity, float] = {"q25": 0.25, "median": 0.5, "q75": 0.75}


@dataclass(frozen=True, slots=True)
class Measurement:
    """One stored measurement: scores of a network and explainer under a metric, or a network's hits.

    Attributes:
        model: Name of the network.
        method: Registered name of the explainer; empty for hits.
        metric: Registered name of the metric, or `top1`.
        dataset: Name of the dataset.
        n_images: Number of its images, None if no run says so.
        weights: Beginning of the digest of the weights.
        size: Side of an image in pixels, None if no run says so.
        preset: Preset of the metric.
        settings: Parameters of the metric.
        method_settings: Parameters of the explainer.
        pool: Whose images grids are made of: "own", a digest of several networks', or empty.
        scores: Defined scores `(N,)`.
        stimuli: The stimulus of each, `(N,)`.
        classes: The class of each, where the score of many is the mean of the classes' means.
        low: Smallest score possible.
        high: Largest score possible.
    """

    model: str
    method: str
    metric: str
    dataset: str
    n_images: int | None
    weights: str
    size: int | None
    preset: str
    settings: Mapping[str, str]
    method_settings: Mapping[str, str]
    pool: str
    scores: NDArray[np.float64]
    stimuli: NDArray[Any]
    classes: NDArray[np.int64] | None = None
    low: float = -math.inf
    high: float = math.inf

    @property
    def n(self) -> int:
        """Number of stimuli with a defined score."""
        return len(np.unique(self.stimuli))

    def value(self, quantity: Quantity) -> tuple[float, float, float]:
        """Return a quantity of the scores and the ends of its 95 % interval; NaN without scores."""
        if not len(self.scores):
            return math.nan, math.nan, math.nan
        if quantity in _QUANTILES:
            share = _QUANTILES[quantity]
            return float(np.quantile(self.scores, share)), *quantile_interval(self.scores, self.stimuli, share)
        ends = mean_interval(self.scores, self.stimuli, self.classes, low=self.low, high=self.high)
        return grouped_mean(self.scores, self.classes), *ends


@dataclass(frozen=True, slots=True)
class Answer:
    """A published number beside the stored one that comes nearest to its protocol.

    Attributes:
        published: The published number.
        measurement: What was measured here, None if nothing was.
        value: The same quantity here, NaN if it was not measured.
        ci_low: Lower end of its 95 % interval over stimuli.
        ci_high: Upper end.
        reasons: Why the two cannot be compared, a phrase each.
        sample: How the numbers of stimuli differ; empty if they do not.
        verdict: Whether the published number lies in the interval, where the two can be compared.
    """

    published: PublishedValue
    measurement: Measurement | None
    value: float
    ci_low: float
    ci_high: float
    reasons: tuple[str, ...]
    sample: str
    verdict: Verdict

    @property
    def difference(self) -> float:
        """What was measured here minus what was published."""
        return self.value - self.published.value


def check(published: Sequence[PublishedValue], folders: Sequence[Path]) -> list[Answer]:
    """Compare published numbers with the stored ones of some folders, in the order of the published.

    Of several measurements of the same network, explainer and metric the one with the fewest differences in
    protocol stands beside a published number, of these the one with most stimuli.
    """
    measured: dict[tuple[str, str, str], list[Measurement]] = {}
    for folder in folders:
        for one in measurements(folder):
            measured.setdefault((one.model, one.method, one.metric), []).append(one)
    return [_answer(value, measured.get((value.model, value.method, value.metric), [])) for value in published]


def measurements(folder: Path) -> Iterator[Measurement]:
    """Yield what a folder of results holds: its cells, and the hits of every network that looked at all images."""
    runs = read_runs(folder)
    cells: dict[str, list[StoredShard]] = {}
    for shard in current_shards(Store(folder))[0]:
        cells.setdefault(shard.facts.address.cell, []).append(shard)
    n_images = {run["dataset"].get("digest"): run["dataset"].get("n_images") for run in runs}
    sizes = {
        (model, run["weights"].get(model)): size
        for run in runs
        for model, size in run["dataset"].get("input_sizes", {}).items()
    }
    for shards in cells.values():
        yield _of_cell(shards, n_images, sizes)
    yield from _hits(folder, runs, sizes)


def differences(published: PublishedValue, here: Measurement) -> tuple[str, ...]:
    """Say in which parts of the protocol a measurement differs from a published one, a phrase each.

    What the publication or the store does not say cannot differ; the number of stimuli is not among the parts.
    """
    found = [
        _differing("data", here.dataset, published.dataset),
        _differing("images", here.n_images, published.n_images) if here.dataset == published.dataset else "",
        _differing("weights", here.weights[: len(published.weights)], published.weights),
        _differing("size", here.size, published.size),
        _differing("preset", here.preset, published.preset),
        *_differing_settings(here.settings, published.settings),
        *_differing_settings(here.method_settings, published.method_settings),
        f"grids of images that several models share ({here.pool}), not of the model's own"
        if here.pool not in ("", "own")
        else "",
    ]
    return tuple(phrase for phrase in found if phrase)


def _differing(what: str, here: object, there: object) -> str:
    return "" if here in (None, "") or there in (None, "") or here == there else f"{what} {here}, not {there}"


def _differing_settings(here: Mapping[str, str], there: Mapping[str, str]) -> list[str]:
    return [
        _differing(key, here.get(key), value) for key, value in there.items() if not _equal(here.get(key), value)
    ]


def _equal(here: str | None, there: str) -> bool:
    """Whether two parameters are equal, as numbers where they are some."""
    try:
        return here is not None and float(here) == float(there)
    except ValueError:
        return here == there


def _answer(published: PublishedValue, candidates: Sequence[Measurement]) -> Answer:
    if not candidates:
        return Answer(published, None, math.nan, math.nan, math.nan, (), "", "not measured")
    here = min(candidates, key=lambda one: (len(differences(published, one)), -one.n))
    value, low, high = here.value(published.quantity)
    reasons = differences(published, here)
    if math.isnan(low):
        reasons = (*reasons, f"no interval with {here.n} stimuli")
    is_inside = low <= published.value <= high or math.isclose(
        value, published.value, abs_tol=_half_digit(published)
    )
    verdict: Verdict = "not comparable" if reasons else "agrees" if is_inside else "differs"
    sample = _differing("n", here.n, published.n)
    return Answer(published, here, value, low, high, reasons, sample, verdict)


def _half_digit(published: PublishedValue) -> float:
    """Return half a unit of the last digit that numbers of this source have: published ones are rounded."""
    digits = len(f"{published.value!r}".partition(".")[2])
    return 0.5 * 10.0**-digits


def _of_cell(
    shards: Sequence[StoredShard], n_images: Mapping[Any, Any], sizes: Mapping[tuple[str, Any], Any]
) -> Measurement:
    facts, table = shards[0].facts, shards[0].table
    scores, units, targets = (
        np.concatenate([shard.numbers(column) for shard in shards]) for column in ("score", "unit", "target")
    )
    stimuli = np.array([text for shard in shards for text in shard.texts("stimulus")])
    # Runs with different --samples store the same units in several shards.
    _, first = np.unique(np.stack([np.unique(stimuli, return_inverse=True)[1], units]), axis=1, return_index=True)
    kept = first[np.isfinite(scores[first])]
    key, metric = facts.key, facts.metric
    model, weights = str(table["model"][0]), str(table["weights"][0])
    return Measurement(
        model=model,
        method=facts.method.name,
        metric=metric.name,
        dataset=str(table["dataset"][0]),
        n_images=n_images.get(key.get("dataset", {}).get("digest")),
        weights=weights,
        size=sizes.get((model, weights)),
        preset=metric.preset,
        settings=_texts(key.get("metric", {}).get("params", {})),
        method_settings=_texts(key.get("method", {}).get("params", {})),
        pool=facts.image_pool,
        scores=scores[kept],
        stimuli=stimuli[kept],
        classes=targets[kept] if metric.is_mean_over_classes else None,
        low=-math.inf if metric.low is None else metric.low,
        high=math.inf if metric.high is None else metric.high,
    )


def _texts(params: Mapping[str, Any]) -> dict[str, str]:
    return {key: str(value) for key, value in params.items()}


def _hits(
    folder: Path, runs: Iterable[Mapping[str, Any]], sizes: Mapping[tuple[str, Any], Any]
) -> Iterator[Measurement]:
    """Yield the hits of each network of some runs whose pool is stored whole."""
    looked_at = {
        (run["dataset"]["name"], run["dataset"]["digest"], run["dataset"]["n_images"], model, weights)
        for run in runs
        for model, weights in run["weights"].items()
        if {"name", "digest", "n_images"} <= {*run["dataset"]}
    }
    for dataset, digest, n_images, model, weights in sorted(looked_at):
        correct = _pool_hits(folder / POOLS_FOLDER / pool_name(dataset, digest, model, weights))
        if len(correct) == n_images:
            yield Measurement(
                model=model,
                method="",
                metric=TOP1,
                dataset=dataset,
                n_images=n_images,
                weights=weights,
                size=sizes.get((model, weights)),
                preset="",
                settings={},
                method_settings={},
                pool="",
                scores=correct.astype(np.float64),
                stimuli=np.arange(n_images),
                low=0.0,
                high=1.0,
            )


def _pool_hits(folder: Path) -> NDArray[np.bool_]:
    """Return which images a network classified correctly; unreadable ones are misses."""
    pieces = []
    for path in sorted(folder.glob("*.npz")):
        try:
            pieces.append(load_arrays(path)["correct"])
        except (DamagedFileError, KeyError):
            break
    return np.concatenate(pieces) if pieces else np.zeros(0, dtype=np.bool_)
