from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from bcos_eval.seeding import derived_seed
from bcos_eval.statistics import resampling
from bcos_eval.statistics.resampling import grouped_mean, resampled_means


def bootstrap_interval(scores, clusters, groups=None, **settings):
    """Percentile interval of the resampled means, which is what they can be checked by."""
    means = resampled_means(scores[:, None], clusters, groups, **settings)[:, 0]
    return tuple(np.nanpercentile(means, [2.5, 97.5]))


def test_the_mean_of_one_group_is_the_mean():
    assert grouped_mean(np.array([0.0, 1.0, 0.5])) == 0.5


def test_groups_count_equally_whatever_their_size():
    assert grouped_mean(np.array([1.0, 1.0, 1.0, 0.0]), ["a", "a", "a", "b"]) == 0.5


def test_no_scores_have_no_mean():
    assert np.isnan(grouped_mean(np.array([])))


def test_a_single_cluster_has_one_mean_in_every_resample():
    assert resampled_means(np.array([[0.1], [0.9]]), ["a", "a"]) == pytest.approx(0.5)


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


def test_equal_scores_have_equal_means():
    assert bootstrap_interval(np.full(10, 0.25), np.arange(10)) == pytest.approx((0.25, 0.25), abs=1e-12)


def test_labels_of_another_length_are_refused():
    with pytest.raises(ValueError, match=r"^2 scores with 3 labels; give one label per score\.$"):
        bootstrap_interval(np.array([0.0, 1.0]), ["a", "b", "c"])


def test_columns_see_the_same_resamples_and_undefined_scores_do_not_count():
    rng = np.random.default_rng(6)
    scores, clusters = rng.random((30, 2)), np.repeat(np.arange(10), 3)
    both = resampled_means(np.column_stack([scores, scores[:, 0] - scores[:, 1]]), clusters)
    assert np.allclose(both[:, 0] - both[:, 1], both[:, 2], rtol=0, atol=1e-12)
    with_gap = np.where(np.arange(30)[:, None] == 4, np.nan, scores)
    weights = np.random.default_rng(derived_seed(0, "bootstrap")).multinomial(10, np.full(10, 0.1), size=2000)
    per_unit = weights[:, clusters] * np.isfinite(with_gap[:, 0])
    expected = (per_unit * np.nan_to_num(with_gap[:, 0])).sum(1) / per_unit.sum(1)
    assert np.allclose(resampled_means(with_gap, clusters)[:, 0], expected, rtol=0, atol=1e-12)


def test_a_resample_without_a_defined_score_has_no_mean():
    means = resampled_means(np.array([[0.5], [np.nan]]), ["a", "b"])[:, 0]
    assert np.isnan(means).mean() == pytest.approx(0.25, abs=0.05)  # both draws are the undefined one
    assert (means[np.isfinite(means)] == 0.5).all()


def test_resamples_do_not_depend_on_how_many_are_drawn_at_once(monkeypatch):
    scores, clusters = np.random.default_rng(7).random((20, 3)), np.arange(20)
    whole = resampled_means(scores, clusters)
    monkeypatch.setattr(resampling, "_NUMBERS_AT_ONCE", 50)
    assert np.array_equal(resampled_means(scores, clusters), whole)


@pytest.mark.slow
def test_resampled_means_spread_as_the_mean_does():
    n_held, n_trials = 0, 400
    for trial in range(n_trials):
        rng = np.random.default_rng(trial)
        scores = (rng.normal(0.3, 1.0, size=60)[:, None] + rng.normal(0, 0.5, size=(60, 4))).ravel()
        low, high = bootstrap_interval(scores, np.repeat(np.arange(60), 4), seed=trial)
        n_held += low <= 0.3 <= high
    # A percentile bootstrap of 60 clusters covers 94 %; 400 trials leave a standard error of 1.2 %.
    assert n_held / n_trials == pytest.approx(0.94, abs=0.04)
