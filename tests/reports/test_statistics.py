from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from bcos_eval.reports.statistics import bootstrap_interval, grouped_mean


def test_the_mean_of_one_group_is_the_mean():
    assert grouped_mean(np.array([0.0, 1.0, 0.5])) == 0.5


def test_groups_count_equally_whatever_their_size():
    assert grouped_mean(np.array([1.0, 1.0, 1.0, 0.0]), ["a", "a", "a", "b"]) == 0.5


def test_no_scores_have_no_mean_and_no_interval():
    assert np.isnan(grouped_mean(np.array([])))
    assert np.isnan(bootstrap_interval(np.array([]), [])).all()


def test_a_single_cluster_has_no_interval():
    assert np.isnan(bootstrap_interval(np.array([0.1, 0.9]), ["a", "a"])).all()


def test_the_interval_agrees_with_scipys_where_every_score_is_a_cluster():
    scores = np.random.default_rng(0).beta(2, 5, size=80)
    expected = stats.bootstrap(
        (scores,), np.mean, n_resamples=20_000, method="percentile", rng=np.random.default_rng(1)
    ).confidence_interval
    interval = bootstrap_interval(scores, np.arange(80), n_resamples=20_000)
    # Both are Monte Carlo: an end of the interval has a standard error near 0.02 standard errors of the mean.
    tolerance = 5 * 0.02 * scores.std() / np.sqrt(80)
    assert interval == pytest.approx(tuple(expected), abs=tolerance)


def test_the_interval_agrees_with_the_normal_one_for_many_clusters():
    rng = np.random.default_rng(2)
    means = rng.normal(0.5, 0.1, size=2000)
    scores = np.repeat(means, 9)  # nine equal cells: the clusters are all that varies
    interval = bootstrap_interval(scores, np.repeat(np.arange(2000), 9))
    expected = stats.norm.interval(0.95, means.mean(), means.std() / np.sqrt(2000))
    assert interval == pytest.approx(expected, abs=0.1 * means.std() / np.sqrt(2000) * 2)


def test_correlated_units_widen_the_interval():
    scores = np.repeat(np.random.default_rng(3).random(50), 9)
    clustered = bootstrap_interval(scores, np.repeat(np.arange(50), 9))
    naive = bootstrap_interval(scores, np.arange(450))
    ratio = (clustered[1] - clustered[0]) / (naive[1] - naive[0])
    assert ratio == pytest.approx(3, rel=0.1)  # the square root of nine units per cluster


def test_the_interval_of_grouped_means_agrees_with_a_loop_over_resamples():
    rng = np.random.default_rng(4)
    scores, groups = rng.random(40), rng.integers(0, 3, 40)
    resampled = []
    for _ in range(4000):
        drawn = rng.integers(0, 40, 40)
        means = [scores[drawn][groups[drawn] == group].mean() for group in np.unique(groups[drawn])]
        resampled.append(np.mean(means))
    expected = np.percentile(resampled, [2.5, 97.5])
    assert bootstrap_interval(scores, np.arange(40), groups) == pytest.approx(tuple(expected), abs=0.012)


def test_the_interval_does_not_depend_on_the_order_of_the_units():
    rng = np.random.default_rng(5)
    scores, clusters = rng.random(60), np.repeat([f"grid/{i}" for i in range(20)], 3)
    order = rng.permutation(60)
    shuffled = bootstrap_interval(scores[order], clusters[order])
    assert shuffled == pytest.approx(bootstrap_interval(scores, clusters), abs=1e-12)


def test_equal_scores_have_an_interval_of_no_width():
    assert bootstrap_interval(np.full(10, 0.25), np.arange(10)) == pytest.approx((0.25, 0.25), abs=1e-12)


def test_labels_of_another_length_are_refused():
    with pytest.raises(ValueError, match=r"^2 scores with 3 labels; give one label per score\.$"):
        bootstrap_interval(np.array([0.0, 1.0]), ["a", "b", "c"])
