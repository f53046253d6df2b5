from __future__ import annotations

import math

import numpy as np
import pytest

from bcos_eval.statistics.quantiles import quantile_interval
from bcos_eval.statistics.resampling import drawn_clusters


def twin(scores, clusters, quantile, n_resamples):
    """From the definition: units of drawn clusters are repeated, and the quantile of the lot is taken."""
    names = sorted(set(clusters))
    found = []
    for drawn in np.concatenate(list(drawn_clusters(len(names), n_resamples, 0, width=len(scores)))):
        lot = [
            score
            for score, cluster in zip(scores, clusters, strict=True)
            for _ in range(int(drawn[names.index(cluster)]))
        ]
        found.append(np.quantile(lot, quantile, method="inverted_cdf"))
    return np.quantile(found, [0.025, 0.975])


@pytest.mark.parametrize("quantile", [0.0, 0.25, 0.3, 0.5, 0.75, 1.0])
def test_it_is_the_percentile_bootstrap_of_whole_clusters(quantile):
    generator = np.random.default_rng(0)
    clusters = generator.permutation(np.repeat(np.arange(10), 3)).tolist()
    scores = generator.random(30).round(1)  # with ties
    expected = twin(scores.tolist(), clusters, quantile, 200)
    assert quantile_interval(scores, clusters, quantile, n_resamples=200) == pytest.approx(expected, abs=1e-12)


def test_it_holds_its_level():
    generator = np.random.default_rng(1)
    hits = 0
    for _ in range(300):
        low, high = quantile_interval(generator.random(40), range(40), 0.5, n_resamples=300)
        hits += low <= 0.5 <= high
    assert hits / 300 > 0.95 - 3 * math.sqrt(0.95 * 0.05 / 300)


def test_equal_scores_have_an_interval_of_no_width():
    assert quantile_interval(np.full(20, 0.3), range(20), 0.5) == (0.3, 0.3)


@pytest.mark.parametrize("n", [0, 7])
def test_few_clusters_have_none(n):
    assert np.isnan(quantile_interval(np.arange(2.0 * n), [*range(n)] * 2, 0.5)).all()
