"""Means and their uncertainty, from units that come in clusters."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bcos_eval.seeding import derived_seed

# protocols.md section 12: percentile bootstrap, 2000 resamples of clusters.
N_RESAMPLES = 2000
CONFIDENCE = 0.95
# Resamples drawn at a time, so that memory stays small with many clusters.
_CHUNK = 100

Floats = NDArray[np.float64]


def grouped_mean(scores: Floats, groups: Sequence[Any] | NDArray[Any] | None = None) -> float:
    """Return the mean of the groups' means; without groups, the mean.

    Args:
        scores: Defined scores `(N,)`.
        groups: The group of each score (the class, for the pointing game), or None for one group.

    Returns:
        The mean, NaN without scores. Groups without a score do not count.
    """
    if not len(scores):
        return float("nan")
    codes = _codes(groups, len(scores))
    counts = np.bincount(codes)
    return float((np.bincount(codes, weights=scores) / counts).mean())


def bootstrap_interval(
    scores: Floats,
    clusters: Sequence[Any] | NDArray[Any],
    groups: Sequence[Any] | NDArray[Any] | None = None,
    *,
    n_resamples: int = N_RESAMPLES,
    confidence: float = CONFIDENCE,
    seed: int = 0,
) -> tuple[float, float]:
    """Return the percentile bootstrap interval of `grouped_mean`, whole clusters resampled.

    Args:
        scores: Defined scores `(N,)`.
        clusters: What each score was measured on: the nine cells of one grid are not nine observations.
        groups: The group of each score, or None for one group.
        n_resamples: Number of resamples.
        confidence: Share of the resampled means inside the interval.
        seed: Seed of the resamples; the same scores and seed give the same interval, in whatever order they come.

    Returns:
        Lower and upper end; NaN with fewer than two clusters, which say nothing about their spread.
    """
    cluster_codes = _codes(clusters, len(scores))
    n_clusters = int(cluster_codes.max()) + 1 if len(scores) else 0
    if n_clusters < 2:
        return float("nan"), float("nan")
    group_codes = _codes(groups, len(scores))
    shape = (n_clusters, int(group_codes.max()) + 1)
    sums, counts = np.zeros(shape), np.zeros(shape)
    np.add.at(sums, (cluster_codes, group_codes), scores)
    np.add.at(counts, (cluster_codes, group_codes), 1)
    means = _resampled_means(sums, counts, n_resamples, seed)
    tail = 50 * (1 - confidence)
    low, high = np.percentile(means, [tail, 100 - tail])
    return float(low), float(high)


def _resampled_means(sums: Floats, counts: Floats, n_resamples: int, seed: int) -> Floats:
    n_clusters = len(sums)
    rng = np.random.default_rng(derived_seed(seed, "bootstrap"))
    equally_likely = np.full(n_clusters, 1 / n_clusters)
    means = []
    for start in range(0, n_resamples, _CHUNK):
        n_now = min(_CHUNK, n_resamples - start)
        # How often each cluster is drawn is all a mean needs to know of a resample.
        weights = rng.multinomial(n_clusters, equally_likely, size=n_now).astype(np.float64)
        drawn = weights @ counts  # (n_now, groups)
        with np.errstate(invalid="ignore"):
            means.append(np.nanmean(weights @ sums / drawn, axis=1))
    return np.concatenate(means)


def _codes(labels: Sequence[Any] | NDArray[Any] | None, n: int) -> NDArray[np.int64]:
    if labels is None:
        return np.zeros(n, dtype=np.int64)
    if len(labels) != n:
        raise ValueError(f"{n} scores with {len(labels)} labels; give one label per score.")
    return np.unique(np.asarray(labels), return_inverse=True)[1].astype(np.int64)
