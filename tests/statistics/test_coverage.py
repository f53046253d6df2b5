"""How often nominal 95 % intervals hold the mean, and how often equal means are called different."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.special import expit, logit
from scipy.stats import skew

from bcos_eval.statistics.intervals import clustered_mean, mean_interval, zero_mean_p

REAL_LINE = {}
UNIT = {"low": 0.0, "high": 1.0}
N_CLASSES = 20


def expected(draw):
    """A mean that has no closed form, from two million draws: its error is small against an interval."""
    return float(np.mean([draw(np.random.default_rng(part), 20_000).mean() for part in range(100)]))


def grid_cells(rng, n):
    """Nine correlated cells a grid: an effect of the grid, one of the cell, squeezed into [0, 1]."""
    return expit(0.8 + rng.normal(0, 0.8, (n, 1)) + rng.normal(0, 1, (n, 9)))


def grid_hits(rate):
    """Nine correlated hits a grid, their odds varying between grids."""
    return lambda rng, n: (rng.random((n, 9)) < expit(logit(rate) + rng.normal(0, 1, (n, 1)))) * 1.0


def hits(rate):
    return lambda rng, n: (rng.random((n, 1)) < rate) * 1.0


def column(draw):
    return lambda rng, n: draw(rng, n)[:, None]


# Scores of n clusters `(n, units)`, their mean, their range.
KINDS = {
    "gauss": (column(lambda rng, n: rng.normal(0.3, 1, n)), 0.3, REAL_LINE),
    "grid cells": (grid_cells, expected(grid_cells), UNIT),
    **{f"hits at {rate}": (hits(rate), rate, UNIT) for rate in (0.1, 0.5, 0.9, 0.97)},
    "grid hits at 0.9": (grid_hits(0.9), expected(grid_hits(0.9)), UNIT),
    "log-normal": (column(lambda rng, n: rng.lognormal(0, 1, n)), np.exp(0.5), REAL_LINE),
    "exponential": (column(lambda rng, n: rng.exponential(1, n)), 1.0, REAL_LINE),
    "beta(0.5, 3)": (column(lambda rng, n: rng.beta(0.5, 3, n)), 1 / 7, UNIT),
    "beta(3, 0.5)": (column(lambda rng, n: rng.beta(3, 0.5, n)), 6 / 7, UNIT),
    "half zeros": (column(lambda rng, n: rng.beta(2, 5, n) * (rng.random(n) < 0.5)), 1 / 7, UNIT),
    "nine tenths zeros": (column(lambda rng, n: rng.beta(2, 2, n) * (rng.random(n) < 0.1)), 0.05, UNIT),
}


def coverage(kind, n_clusters, n_trials):
    draw, mean, score_range = KINDS[kind]
    rng = np.random.default_rng(n_clusters)
    held = 0
    for _ in range(n_trials):
        scores = draw(rng, n_clusters)
        low, high = mean_interval(scores.ravel(), np.repeat(np.arange(n_clusters), scores.shape[1]), **score_range)
        held += low <= mean <= high
    return held / n_trials


def class_coverage(n_images, n_trials, *, balanced):
    """Hits of images of 20 classes of unequal hit rates, mean over the classes."""
    rng = np.random.default_rng(n_images)
    held = 0
    for _ in range(n_trials):
        rates = rng.beta(8, 2, N_CLASSES)
        of_class = rng.integers(0, N_CLASSES, n_images)
        if balanced:
            of_class = np.resize(rng.permutation(N_CLASSES), n_images)
        hit = (rng.random(n_images) < rates[of_class]) * 1.0
        low, high = mean_interval(hit, np.arange(n_images), of_class, **UNIT)
        held += low <= rates.mean() <= high
    return held / n_trials


@pytest.mark.parametrize("kind", ["gauss", "grid cells", "hits at 0.9", "log-normal", "beta(0.5, 3)"])
def test_ten_clusters_are_enough_for_93_percent(kind):
    # 400 trials have a standard error of 1.2 %; a percentile bootstrap has 90, 66 and 79 %.
    assert coverage(kind, 10, 400) >= 0.93 - 2 * 0.012


def test_hits_by_class_are_covered():
    assert class_coverage(10, 400, balanced=False) >= 0.93 - 2 * 0.012


@pytest.mark.slow
@pytest.mark.parametrize("n_clusters", [10, 30, 100])
@pytest.mark.parametrize("kind", sorted(KINDS))
def test_intervals_cover_93_percent(kind, n_clusters):
    assert coverage(kind, n_clusters, 10_000) >= 0.93


@pytest.mark.slow
@pytest.mark.parametrize("n_images", [10, 30, 100])
@pytest.mark.parametrize("balanced", [False, True])
def test_intervals_of_means_over_classes_cover_93_percent(n_images, balanced):
    assert class_coverage(n_images, 10_000, balanced=balanced) >= 0.93


@pytest.mark.slow
@pytest.mark.parametrize(("sigma", "least"), [(1.5, 0.90), (2.0, 0.79)])
@pytest.mark.parametrize("n_clusters", [10, 30, 100])
def test_heavy_tails_are_missed_by_the_samples_that_do_not_show_them(sigma, least, n_clusters):
    """No criterion on the skewness of a sample can keep the intervals that hold: it would refuse those."""
    rng = np.random.default_rng(n_clusters)
    mean, held, skewness = np.exp(sigma**2 / 2), [], []
    for _ in range(4000):
        scores = rng.lognormal(0, sigma, n_clusters)
        low, high = mean_interval(scores, np.arange(n_clusters))
        held.append(low <= mean <= high)
        skewness.append(skew(scores))
    is_tame = np.array(skewness) < np.median(skewness)
    of_tame, of_wild = np.mean(np.array(held)[is_tame]), np.mean(np.array(held)[~is_tame])
    assert np.mean(held) >= least - 2 * 0.006
    assert of_tame < min(0.90, of_wild - 0.03)


# Differences of mean 0, `(n,)`.
DIFFERENCES = {
    "gauss": lambda rng, n: rng.normal(0, 1, n),
    "log-normal": lambda rng, n: rng.lognormal(0, 1, n) - np.exp(0.5),
    "exponential, turned": lambda rng, n: 1 - rng.exponential(1, n),
    "beta(0.5, 3)": lambda rng, n: rng.beta(0.5, 3, n) - 1 / 7,
    "hits": lambda rng, n: (rng.random(n) < 0.3) * 1.0 - (rng.random(n) < 0.3),
    "hits that hardly differ": lambda rng, n: rng.choice([-1.0, 0.0, 1.0], p=[0.05, 0.9, 0.05], size=n),
}


def share_of_verdicts(kind, n_clusters, n_trials, shift=0.0):
    rng = np.random.default_rng(n_clusters)
    called = 0
    for _ in range(n_trials):
        differences = DIFFERENCES[kind](rng, n_clusters) + shift
        called += zero_mean_p(clustered_mean(differences, np.arange(n_clusters))) < 0.05
    return called / n_trials


@pytest.mark.parametrize("n_clusters", [10, 200])
def test_skewed_differences_of_equal_means_are_seldom_called_different(n_clusters):
    # 400 trials have a standard error of 1.2 %; the signed-rank test calls 14 % and 97 % of them different.
    assert share_of_verdicts("log-normal", n_clusters, 400) <= 0.06 + 2 * 0.012


@pytest.mark.slow
@pytest.mark.parametrize("n_clusters", [10, 30, 200])
@pytest.mark.parametrize("kind", sorted(DIFFERENCES))
def test_equal_means_are_called_different_in_six_percent(kind, n_clusters):
    # 10,000 trials have a standard error of .24 %.
    assert share_of_verdicts(kind, n_clusters, 10_000) <= 0.06 + 2 * 0.0024


@pytest.mark.slow
@pytest.mark.parametrize(("n_clusters", "least"), [(10, 0.60), (30, 0.77), (200, 0.83)])
def test_a_difference_of_three_standard_errors_is_found(n_clusters, least):
    # Student's test finds 76, 80 and 85 %.
    assert share_of_verdicts("gauss", n_clusters, 4000, shift=3 / np.sqrt(n_clusters)) >= least - 2 * 0.008
