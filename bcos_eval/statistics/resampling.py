"""Means, and how stable their order is when whole clusters are drawn again."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from bcos_eval.seeding import derived_seed

# protocols.md section 12: 2000 resamples of clusters.
N_RESAMPLES = 2000
CONFIDENCE = 0.95
# Means of equal numbers, summed in another order, differ by less.
_ROUNDING = 1e-12
# Resamples are drawn in portions of so many numbers (32 MB), so that memory stays small with many clusters.
_NUMBERS_AT_ONCE = 2**22

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
    codes = label_codes(groups, len(scores))
    counts = np.bincount(codes)
    return float((np.bincount(codes, weights=scores) / counts).mean())


def resampled_means(
    scores: Floats,
    clusters: Sequence[Any] | NDArray[Any],
    groups: Sequence[Any] | NDArray[Any] | None = None,
    *,
    n_resamples: int = N_RESAMPLES,
    seed: int = 0,
) -> Floats:
    """Return `grouped_mean` of each column in each resample of whole clusters, the same resamples for all columns.

    Args:
        scores: Scores of the same units in columns, `(N, P)`; undefined ones (NaN) do not count.
        clusters: What each unit was measured on, length N.
        groups: The group of each unit, or None for one group.
        n_resamples: Number of resamples R.
        seed: Seed of the resamples.

    Returns:
        Means `(R, P)`; NaN where a resample holds no defined score of a column.
    """
    from scipy import sparse  # late, since tables that resample nothing should not wait for it

    n_units, n_columns = scores.shape
    cluster_codes, group_codes = label_codes(clusters, n_units), label_codes(groups, n_units)
    n_clusters, n_groups = int(cluster_codes.max()) + 1, int(group_codes.max()) + 1
    units, columns = np.nonzero(~np.isnan(scores))
    places = (cluster_codes[units], columns * n_groups + group_codes[units])
    shape = (n_clusters, n_columns * n_groups)
    # Sparse: hardly any image is of more than one class.
    sums = sparse.coo_array((scores[units, columns], places), shape).tocsr()
    counts = sparse.coo_array((np.ones(len(units)), places), shape).tocsr()
    means = []
    for drawn in drawn_clusters(n_clusters, n_resamples, seed, width=shape[1]):
        by_group = (len(drawn), n_columns, n_groups)
        means.append(_mean_of_groups((drawn @ sums).reshape(by_group), (drawn @ counts).reshape(by_group)))
    return np.concatenate(means)


def flip_share(difference: float, resampled: Floats) -> float:
    """Return how often the order of two methods turns round when the stimuli are drawn again.

    Args:
        difference: Mean difference between the methods.
        resampled: The same in each resample, `(R,)`; undefined ones (NaN) do not count.

    Returns:
        Share of the resamples in [0, 1] with the opposite sign; a difference of 0 counts half. 0.5 where
        `difference` itself is 0, since there is no order to keep. NaN where nothing is defined.
    """
    defined = resampled[np.isfinite(resampled)]
    if np.isnan(difference) or not len(defined):
        return float("nan")
    if abs(difference) < _ROUNDING:
        return 0.5
    agreement = np.sign(np.where(np.abs(defined) < _ROUNDING, 0, defined)) * np.sign(difference)
    return float((1 - agreement.mean()) / 2)


def best_shares(resampled: Floats, direction: Literal["higher", "lower"]) -> Floats:
    """Return how often each method is the best of its table when the stimuli are drawn again.

    Args:
        resampled: Mean score of each method in each resample, `(R, M)`; undefined ones (NaN) are never best.
        direction: Which scores are better.

    Returns:
        Share of the resamples `(M,)`, which methods that are equally good divide among them; the shares sum to 1
        unless nothing is defined, which gives NaN.
    """
    oriented = resampled if direction == "higher" else -resampled
    oriented = oriented[np.isfinite(oriented).any(1)]
    if not len(oriented):
        return np.full(resampled.shape[1], np.nan)
    is_best = oriented >= np.nanmax(oriented, axis=1, keepdims=True) - _ROUNDING
    return np.asarray((is_best / is_best.sum(1, keepdims=True)).mean(0))


def drawn_clusters(n_clusters: int, n_resamples: int, seed: int, *, width: int) -> Iterator[Floats]:
    """Yield how often each cluster is drawn, which is all a mean needs to know of a resample, some at a time."""
    rng = np.random.default_rng(derived_seed(seed, "bootstrap"))
    equally_likely = np.full(n_clusters, 1 / n_clusters)
    n_at_once = max(1, _NUMBERS_AT_ONCE // max(n_clusters, width))
    for start in range(0, n_resamples, n_at_once):
        n_now = min(n_at_once, n_resamples - start)
        yield rng.multinomial(n_clusters, equally_likely, size=n_now).astype(np.float64)


def _mean_of_groups(sums: Floats, counts: Floats) -> Floats:
    """Mean over the last axis of sums / counts, of those that have a count."""
    present = counts > 0
    total = np.divide(sums, counts, out=np.zeros_like(sums), where=present).sum(-1)
    n_present = present.sum(-1)
    return np.divide(total, n_present, out=np.full_like(total, np.nan), where=n_present > 0)


def label_codes(labels: Sequence[Any] | NDArray[Any] | None, n: int) -> NDArray[np.int64]:
    """Return labels as numbers 0, 1, … in sorted order `(n,)`; one label for all where there are none.

    Raises:
        ValueError: If there are not as many labels as scores.
    """
    if labels is None:
        return np.zeros(n, dtype=np.int64)
    if len(labels) != n:
        raise ValueError(f"{n} scores with {len(labels)} labels; give one label per score.")
    return np.unique(np.asarray(labels), return_inverse=True)[1].astype(np.int64)
