"""Intervals of quantiles of scores that come in clusters."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .intervals import FEWEST_CLUSTERS
from .resampling import CONFIDENCE, N_RESAMPLES, Floats, drawn_clusters, label_codes


def quantile_interval(
    scores: Floats,
    clusters: Sequence[Any] | NDArray[Any],
    quantile: float,
    *,
    n_resamples: int = N_RESAMPLES,
    confidence: float = CONFIDENCE,
    seed: int = 0,
) -> tuple[float, float]:
    """Return the percentile bootstrap interval of a quantile, whole clusters drawn again (protocols.md, 12).

    Args:
        scores: Defined scores `(N,)`.
        clusters: What each score was measured on, length N.
        quantile: Which quantile, in [0, 1]; of a resample, the smallest score that this share does not exceed.
        n_resamples: Number of resamples.
        confidence: Share of the resamples between the ends.
        seed: Seed of the resamples.

    Returns:
        Lower and upper end; NaN with fewer than eight clusters.
    """
    codes = label_codes(clusters, len(scores))
    n_clusters = int(codes.max()) + 1 if len(codes) else 0
    if n_clusters < FEWEST_CLUSTERS:
        return math.nan, math.nan
    order = np.argsort(scores, kind="stable")
    found = []
    for drawn in drawn_clusters(n_clusters, n_resamples, seed, width=len(scores)):
        counts = drawn[:, codes[order]].cumsum(axis=1)  # (R, N)
        # Counts are whole: half of one keeps a product such as 0.3 · 10 from passing the third score.
        enough = counts >= np.maximum(quantile * counts[:, -1:] - 1e-9, 0.5)
        found.append(scores[order][enough.argmax(axis=1)])
    tail = (1 - confidence) / 2
    low, high = np.quantile(np.concatenate(found), [tail, 1 - tail])
    return float(low), float(high)
