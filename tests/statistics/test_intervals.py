from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
from scipy import stats

from bcos_eval.statistics.intervals import clustered_mean, mean_interval, zero_mean_p
from bcos_eval.statistics.resampling import grouped_mean

RNG = np.random.default_rng(0)
NAN = float("nan")


def student(scores, confidence=0.95):
    return stats.ttest_1samp(scores, 0).confidence_interval(confidence)


def test_symmetric_scores_have_students_interval():
    half = RNG.normal(0, 1, 20)
    scores = 0.3 + np.concatenate([half, -half])
    assert mean_interval(scores, range(40)) == pytest.approx(tuple(student(scores)), abs=1e-9)
    assert mean_interval(scores, range(40), confidence=0.8) == pytest.approx(tuple(student(scores, 0.8)), abs=1e-9)


def test_skewed_scores_lengthen_the_end_on_the_side_of_the_tail_only():
    scores = RNG.lognormal(0, 1, 25)
    low, high = mean_interval(scores, range(25))
    expected = student(scores)
    assert low == pytest.approx(expected.low, abs=1e-12)
    assert high > expected.high + 0.1 * scores.std() / 5
    mirrored = mean_interval(-scores, range(25))
    assert mirrored == pytest.approx((-high, -low), abs=1e-12)


def slow_upper_end(scores, quantile):
    """From Hall's cubic, by bisection: the mean at which the transformed ratio is the lower quantile."""
    n = len(scores)
    centred = scores - scores.mean()
    skewness = stats.skew(scores, bias=False) * (1 + 4 / n)

    def ratio(mean):
        t = (scores.mean() - mean) * np.sqrt(n) / scores.std(ddof=1)
        term = skewness / np.sqrt(n)
        return t + term * t**2 / 3 + term**2 * t**3 / 27 + term / 6

    low, high = scores.mean(), scores.mean() + 100 * np.abs(centred).max()
    for _ in range(200):
        middle = (low + high) / 2
        low, high = (middle, high) if ratio(middle) > -quantile else (low, middle)
    return low


@pytest.mark.parametrize("n", [8, 10, 30])
def test_the_longer_end_solves_halls_cubic(n):
    scores = np.random.default_rng(n).exponential(1, n)
    assert mean_interval(scores, range(n))[1] == pytest.approx(
        slow_upper_end(scores, stats.t.ppf(0.975, n - 1)), rel=1e-9
    )


@pytest.mark.parametrize(("n_hits", "n"), [(0, 10), (3, 10), (10, 10), (29, 30), (1, 2), (97, 100)])
def test_hits_have_the_interval_of_clopper_and_pearson(n_hits, n):
    scores = np.arange(n) < n_hits
    expected = stats.binomtest(n_hits, n).proportion_ci(0.95, method="exact")
    assert mean_interval(scores * 1.0, range(n), low=0, high=1) == pytest.approx(tuple(expected), abs=1e-9)


def test_nine_equal_hits_of_a_grid_count_as_one():
    of_grid = (np.arange(20) % 4 > 0) * 1.0
    whole = mean_interval(np.repeat(of_grid, 9), np.repeat(range(20), 9), low=0, high=1)
    single = mean_interval(of_grid, range(20), low=0, high=1)
    # Longer by the ratio of t with 179 degrees of freedom and with 19, for the variance comes from 20 grids.
    assert whole == pytest.approx(single, abs=0.03)
    assert whole[0] < single[0] < single[1] < whole[1]
    assert mean_interval(np.ones(90), np.repeat(range(10), 9), low=0, high=1) == pytest.approx(
        (0.6915, 1), abs=1e-4
    )


def test_equal_scores_have_the_bound_of_their_range_or_no_interval():
    # All but a share of 1 − (.025)^(1/10) of the population is as seen; the rest may be at an end of the range.
    unseen = 1 - 0.025**0.1
    assert mean_interval(np.full(10, 0.25), range(10), low=0, high=1) == pytest.approx(
        (0.25 - 0.25 * unseen, 0.25 + 0.75 * unseen), abs=1e-12
    )
    assert np.isnan(mean_interval(np.full(10, 0.1) * 3, range(10))).all()
    assert np.isnan(mean_interval(np.full(10, 0.3), range(10), low=0)).all()


def test_no_interval_has_no_width():
    for scores in (np.zeros(10), np.ones(10), np.full(10, 0.5), np.r_[np.zeros(9), 1e-9]):
        low, high = mean_interval(scores, range(10), low=0, high=1)
        assert high - low > 0


def test_the_interval_stays_in_the_range():
    scores = np.r_[np.full(9, 0.99), 0.2]
    low, high = mean_interval(scores, range(10), low=0, high=1)
    assert 0 <= low < scores.mean() < high <= 1
    assert mean_interval(scores, range(10))[1] > 1


@pytest.mark.parametrize("n", [0, 1, 2, 7])
def test_too_few_clusters_have_no_interval(n):
    assert np.isnan(mean_interval(RNG.random(n), range(n), low=0, high=1)).all()
    assert np.isnan(mean_interval(RNG.random(5 * n), np.repeat(range(n), 5))).all()


def test_units_of_a_cluster_are_one_observation():
    of_cluster = RNG.random(30)
    cells = of_cluster[:, None] + np.array([-0.1, 0.0, 0.1])
    assert mean_interval(cells.ravel(), np.repeat(range(30), 3)) == pytest.approx(
        mean_interval(of_cluster, range(30)), abs=1e-12
    )


def test_many_clusters_have_the_normal_interval():
    means = np.random.default_rng(2).beta(2, 5, size=4000)
    expected = stats.norm.interval(0.95, means.mean(), means.std() / np.sqrt(4000))
    # The skewness of 4000 clusters moves an end by a hundredth of the standard error.
    assert mean_interval(np.repeat(means, 9), np.repeat(np.arange(4000), 9), low=0, high=1) == pytest.approx(
        expected, abs=0.03 * means.std() / np.sqrt(4000)
    )


def test_the_order_of_the_units_does_not_matter():
    scores, clusters, groups = RNG.random(60), np.repeat(range(20), 3), RNG.integers(0, 4, 60)
    order = RNG.permutation(60)
    assert mean_interval(scores[order], clusters[order], groups[order]) == pytest.approx(
        mean_interval(scores, clusters, groups), abs=1e-12
    )


def test_the_clustered_mean_is_the_mean_over_groups_with_the_deviations_of_its_clusters():
    scores, clusters, groups = RNG.random(40), RNG.integers(0, 9, 40), RNG.integers(0, 3, 40)
    found = clustered_mean(scores, clusters, groups)
    assert found.mean == pytest.approx(grouped_mean(scores, groups), abs=1e-12)
    weights = [1 / (3 * (groups == group).sum()) for group in groups]
    of_cluster = np.zeros(9)
    for cluster, weight, score in zip(clusters, weights, scores, strict=True):
        of_cluster[cluster] += 9 * weight * (score - found.mean)
    assert found.deviations == pytest.approx(of_cluster, abs=1e-12)
    assert found.deviations.sum() == pytest.approx(0, abs=1e-12)


def test_clusters_of_unequal_size_have_the_spread_of_a_ratio():
    """The variance of a mean of clusters of random size, against that of many samples."""
    means, errors = [], []
    for seed in range(1500):
        rng = np.random.default_rng(seed)
        sizes = rng.integers(1, 9, 40)
        clusters = np.repeat(range(40), sizes)
        scores = rng.normal(0, 1, 40)[clusters] + rng.normal(0, 1, len(clusters))
        found = clustered_mean(scores, clusters)
        means.append(found.mean)
        errors.append(found.spread**2 / 40)
    # 1500 samples leave 3.7 % of a variance, a ratio with 40 clusters is biased by a few percent.
    assert np.mean(errors) == pytest.approx(np.var(means), rel=0.12)


@pytest.mark.parametrize("shift", [0.0, 0.2, 0.5, -0.6])
@pytest.mark.parametrize("n", [8, 25])
def test_the_test_is_significant_where_the_interval_leaves_out_zero(n, shift):
    for seed in range(50):
        scores = np.random.default_rng(seed).exponential(1, n) - 1 + shift
        p = zero_mean_p(clustered_mean(scores, range(n)))
        low, high = mean_interval(scores, range(n), confidence=1 - p)
        assert min(abs(low), abs(high)) == pytest.approx(0, abs=1e-6) or p == pytest.approx(1)


def test_the_test_of_symmetric_scores_is_students():
    half = RNG.normal(0, 1, 15)
    scores = 0.2 + np.concatenate([half, -half])
    assert zero_mean_p(clustered_mean(scores, range(30))) == pytest.approx(
        stats.ttest_1samp(scores, 0).pvalue, abs=1e-9
    )


def test_equal_differences_have_the_p_value_of_their_signs():
    assert zero_mean_p(clustered_mean(np.full(10, -0.1), range(10))) == stats.binomtest(0, 10).pvalue
    assert zero_mean_p(clustered_mean(np.zeros(10), range(10))) == 1
    assert np.isnan(zero_mean_p(clustered_mean(np.full(7, 0.1), range(7))))


def test_labels_of_another_length_are_refused():
    with pytest.raises(ValueError, match=r"^2 scores with 3 labels; give one label per score\.$"):
        mean_interval(np.array([0.0, 1.0]), ["a", "b", "c"])


def test_statistics_import_neither_torch_nor_scipy_before_they_need_it():
    modules = "distributions", "intervals", "resampling", "significance", "sequences"
    code = "; ".join(f"import bcos_eval.statistics.{name}" for name in modules)
    code += "; import sys; print([m for m in ('torch', 'pandas', 'scipy') if m in sys.modules])"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout == "[]\n"
