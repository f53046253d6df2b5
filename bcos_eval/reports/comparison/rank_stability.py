"""How much of a ranking is due to the stimuli that happened to be drawn: ranks under resampling."""

from __future__ import annotations

from typing import Literal

import numpy as np

from .statistics import Floats

# Means of equal numbers, summed in another order, differ by less.
_ROUNDING = 1e-12


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
