"""Confidence sequences: intervals of a mean that hold at every number of units at once, so that one may stop.

An ordinary 95 % interval that is looked at after every unit, until it is short enough, holds the mean less often
than it says. A confidence sequence is a martingale turned round: for each candidate mean a gambler bets against
it, unit by unit; whoever multiplies the capital by 1/α has been offered better than fair odds, and the candidate
is struck out for good. By Ville's inequality the true mean is ever struck out with probability α at most, whatever
the distribution of the scores within their range, however few there are, and whenever one stops.

Source: Waudby-Smith & Ramdas, Estimating means of bounded random variables by betting (JRSS B, 2024): the hedged
capital process (theorem 3) with stakes truncated at c / m, c = 3/4, and predictable plug-in moments (equation 15).
Their stakes shrink as √(1 / (t log t)), to be good at all times alike. Here one stops at a half-width h that is
known before the start, so that the stake which is best at the stop can be held throughout: λ = h / σ̂² with the
variance of the scores so far, since the capital grows by λh − λ²σ²/2 a score at a distance h from the mean. Any
stake that only looks back keeps the sequence valid.

Clusters until a half-width of .02 at 95 % is reached (median of 60 runs), beside those that an interval of a size
fixed beforehand takes if one knows the standard deviation; and how often the mean is in the interval at the stop
(2000 runs to a half-width of .05, standard error .5 %; `tests/statistics/test_sequences.py`):

    ======================  =========  ========  ==========  ========
    scores                  deviation  stops at  fixed size  coverage
    ======================  =========  ========  ==========  ========
    means of nine cells          .066       168          42     1.000
    beta(5, 2)                   .160       400         245      .990
    beta(0.5, 3)                 .165       456         262      .994
    uniform                      .288      1308         797      .973
    hits, rate .9                .300      1572         865      .975
    hits, rate .5                .500      3840        2401     .972
    ======================  =========  ========  ==========  ========

Scores that hardly vary take 140 to 180 clusters too, since no stake may exceed c / m. On the shipped pairs (beta
distributions with the means and deviations in `results/`), `grid_pg` stops at 140 to 180 grids, `energy_pg` at 200
to 330 images of `shapes` and 1300 to 1550 of `tiny_imagenet20`: of 2000 asked for, 22 to 93 % are saved.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .resampling import CONFIDENCE, Floats

# Waudby-Smith & Ramdas recommend 1/2 or 3/4: a single score loses at most this share of the capital.
_LARGEST_STAKE = 0.75
# One made-up score in the middle of the range with its largest variance, until there are real ones (equation 15).
_PRIOR_MEAN, _PRIOR_VARIANCE = 0.5, 0.25
# Candidate means, in the unit range: the ends are known to a thousandth of it, rounded outwards.
_CANDIDATES = np.linspace(0, 1, 1001)
# What sums of scores may be off by.
_ROUNDING = 1e-9
# Clusters whose bets are computed at once.
_PORTION = 256


class ConfidenceSequence:
    """The interval of the mean of independent scores of a known range, valid whenever one stops to look.

    The scores come in one fixed order, in portions of any size: the interval is the same. It never grows.

    Args:
        low: Smallest score possible.
        high: Largest score possible.
        level: Probability that the mean never leaves the interval.
        target: Half-width that the bets aim at. The sequence is valid for any, and shortest when it gets there.
        population: Number of scores there are at all, if they are drawn from these in a random order and the mean
            sought is theirs; None for independent scores. What a candidate says of the scores that are left then
            follows from those seen (Waudby-Smith & Ramdas 2024, section 5).

    Attributes:
        n: Number of scores seen.

    Raises:
        ValueError: If the range is not finite, or level or target make no sense.

    Example:
        >>> sequence = ConfidenceSequence(0, 1, target=0.1)
        >>> sequence.update([0.5, 0.6, 0.4] * 40)
        >>> print(sequence.half_width < 0.1, sequence.n)
        True 120
    """

    def __init__(
        self,
        low: float,
        high: float,
        *,
        level: float = CONFIDENCE,
        target: float = 0.02,
        population: int | None = None,
    ) -> None:
        if not (math.isfinite(low) and math.isfinite(high) and low < high):
            raise ValueError(f"a confidence sequence needs scores of a finite range, not of {low:g} to {high:g}.")
        if not 0 < level < 1:
            raise ValueError(f"level is {level:g}; give a probability between 0 and 1.")
        if not target > 0:
            raise ValueError(f"target is {target:g}; give a half-width above 0.")
        self._low, self._width = low, high - low
        self._target = target / self._width
        # Each direction of the bet has half the capital: it wins where it alone reaches 2/α.
        self._log_bound = math.log(2 / (1 - level))
        self._log_capital = np.zeros((2, len(_CANDIDATES)))
        self._sum, self._squares = _PRIOR_MEAN, _PRIOR_VARIANCE
        self._ends = (0.0, 1.0)
        self._population, self._seen = population, 0.0
        self.n = 0

    def update(self, scores: Sequence[float] | Floats) -> None:
        """Go on with scores `(N,)`, one per cluster, in the run's order.

        Raises:
            ValueError: If one lies outside the range or is undefined; nothing of the portion is taken then.
        """
        unit = (np.asarray(scores, dtype=np.float64) - self._low) / self._width
        if not ((unit >= 0) & (unit <= 1)).all():
            wrong = np.asarray(scores)[~((unit >= 0) & (unit <= 1))][0]
            stated = f"{self._low:g} to {self._low + self._width:g}"
            raise ValueError(f"a score is {wrong:g}, outside the range {stated}; give the range of the metric.")
        for start in range(0, len(unit), _PORTION):
            self._bet(unit[start : start + _PORTION])

    @property
    def interval(self) -> tuple[float, float]:
        """Lower and upper end; the whole range before the first score.

        All candidates can be struck out, with probability 1 − level at most or because scores drift; the interval
        is then what lies between the two ends that crossed.
        """
        low, high = sorted(self._ends)
        return self._low + self._width * low, self._low + self._width * high

    @property
    def half_width(self) -> float:
        """Half the length of the interval."""
        return self._width * abs(self._ends[1] - self._ends[0]) / 2

    def _bet(self, scores: Floats) -> None:
        stated = self._candidates(scores)
        candidates = stated.clip(0, 1)
        stakes = self._stakes(scores)[:, None]  # (T, 1)
        with np.errstate(divide="ignore"):
            up = np.minimum(stakes, _LARGEST_STAKE / candidates)  # (T, M)
            down = np.minimum(stakes, _LARGEST_STAKE / (1 - candidates))
        gains = scores[:, None] - candidates
        steps = np.stack([np.log1p(up * gains), np.log1p(-down * gains)])
        # Summed from what there was, one by one, so that the bits do not depend on the portions.
        capital = np.concatenate([self._log_capital[:, None], steps], axis=1).cumsum(1)  # (2, 1 + T, M)
        self._log_capital = capital[:, -1].copy()
        excluded = np.stack([np.any(stated < -_ROUNDING, axis=0), np.any(stated > 1 + _ROUNDING, axis=0)])
        is_out = np.any(capital >= self._log_bound, axis=1) | excluded
        # Capital falls with m where the bet is on larger scores, and grows where it is on smaller ones.
        too_low, too_high = _CANDIDATES[is_out[0]], _CANDIDATES[is_out[1]]
        low, high = self._ends
        self._ends = max(low, too_low.max(initial=0.0)), min(high, too_high.min(initial=1.0))

    def _candidates(self, scores: Floats) -> Floats:
        """What each candidate says the mean of the next score is: of those left, if drawn from a population.

        Returns:
            Means `(T, M)`, outside [0, 1] where the scores before exclude a candidate; `(1, M)` if independent.
        """
        if self._population is None:
            return _CANDIDATES[None]
        seen = np.concatenate([[self._seen], scores]).cumsum()  # one by one, whatever the portions
        self._seen = float(seen[-1])
        n_left = np.maximum(self._population - self.n - np.arange(len(scores)), 1)
        return np.asarray((self._population * _CANDIDATES - seen[:-1, None]) / n_left[:, None])

    def _stakes(self, scores: Floats) -> Floats:
        """λ for each score `(T,)`, from those before it only; equation 15's moments."""
        times = self.n + 1 + np.arange(len(scores))
        sums = np.concatenate([[self._sum], scores]).cumsum()[1:]
        squares = np.concatenate([[self._squares], (scores - sums / (times + 1)) ** 2]).cumsum()
        self._sum, self._squares, self.n = float(sums[-1]), float(squares[-1]), int(times[-1])
        return np.asarray(self._target / (squares[:-1] / times))


def cluster_means(scores: Floats, clusters: Sequence[Any] | NDArray[Any]) -> Floats:
    """Return the mean of each cluster's defined scores, in the order in which clusters first appear.

    Args:
        scores: Scores `(N,)`; undefined ones (NaN) do not count.
        clusters: What each was measured on: the cells of one grid are correlated, grids are not.

    Returns:
        Means `(G,)` of the clusters with a defined score. They count equally: their mean is that of the scores
        where clusters are of equal size.
    """
    labels = np.asarray(clusters)
    if len(labels) != len(scores):
        raise ValueError(f"{len(scores)} scores with {len(labels)} labels; give one label per score.")
    defined = np.isfinite(scores)
    scores, labels = scores[defined], labels[defined]
    if not len(scores):
        return np.zeros(0)
    _, first, codes = np.unique(labels, return_index=True, return_inverse=True)
    means = np.bincount(codes, weights=scores) / np.bincount(codes)
    return np.asarray(means[np.argsort(first)])


def anytime_interval(
    scores: Floats,
    clusters: Sequence[Any] | NDArray[Any],
    *,
    low: float,
    high: float,
    target: float,
    population: int | None = None,
) -> tuple[float, float]:
    """Return the confidence sequence's interval of the mean after these scores; arguments as for `half_width`."""
    return _sequence(
        scores, clusters, low=low, high=high, target=target, level=CONFIDENCE, population=population
    ).interval


def half_width(
    scores: Floats,
    clusters: Sequence[Any] | NDArray[Any],
    *,
    low: float,
    high: float,
    target: float,
    level: float = CONFIDENCE,
) -> float:
    """Return the half-width of the confidence sequence after these scores.

    Args:
        scores: Scores `(N,)` in the run's order; undefined ones (NaN) do not count.
        clusters: What each was measured on.
        low: Smallest score possible.
        high: Largest score possible.
        target: Half-width that is asked for.
        level: Probability that the mean never leaves the interval.

    Returns:
        Half-width, half the range without scores.
    """
    return _sequence(scores, clusters, low=low, high=high, target=target, level=level).half_width


def _sequence(
    scores: Floats,
    clusters: Sequence[Any] | NDArray[Any],
    *,
    low: float,
    high: float,
    target: float,
    level: float,
    population: int | None = None,
) -> ConfidenceSequence:
    sequence = ConfidenceSequence(low, high, level=level, target=target, population=population)
    sequence.update(cluster_means(scores, clusters))
    return sequence
