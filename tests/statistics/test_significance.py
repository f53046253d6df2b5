from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from bcos_eval.statistics.resampling import best_shares, flip_share
from bcos_eval.statistics.significance import holm_adjusted, rank_biserial, signed_rank_p

RNG = np.random.default_rng(0)
NAN = float("nan")


def test_the_p_value_is_scipys():
    a, b = RNG.random(30), RNG.random(30)
    assert signed_rank_p(a - b) == stats.wilcoxon(a, b).pvalue


def test_ten_positive_differences_have_the_exact_p_value_of_their_signs():
    assert signed_rank_p(np.arange(1.0, 11.0)) == pytest.approx(2 / 2**10, abs=1e-12)


def test_equal_scores_do_not_differ_and_none_are_undefined():
    assert (signed_rank_p(np.zeros(5)), rank_biserial(np.zeros(5))) == (1.0, 0.0)
    assert np.isnan([signed_rank_p(np.zeros(0)), rank_biserial(np.zeros(0))]).all()


def slow_holm(p_values):
    """From the definition: the k-th smallest of m is compared with level / (m − k + 1), until one fails."""
    m = len(p_values)
    smallest_level = {}
    for i, p in enumerate(p_values):
        needed = 0.0
        for k, j in enumerate(sorted(range(m), key=lambda j: p_values[j])):
            needed = max(needed, (m - k) * p_values[j])
            if j == i:
                break
        smallest_level[i] = min(needed, 1.0)
        assert p <= smallest_level[i]
    return [smallest_level[i] for i in range(m)]


@given(st.lists(st.floats(0, 1, allow_subnormal=False), min_size=1, max_size=8))
def test_holm_equals_its_step_down_definition(p_values):
    adjusted = holm_adjusted(np.array(p_values))
    # Equal p-values may be stepped through in any order; the larger of their levels holds for all.
    expected = [
        max(q for q, other in zip(slow_holm(p_values), p_values, strict=True) if other == p) for p in p_values
    ]
    assert np.maximum(adjusted, 0) == pytest.approx(expected, abs=1e-12)


def test_undefined_p_values_are_no_tests():
    assert holm_adjusted(np.array([0.02, NAN, 0.03])) == pytest.approx([0.04, NAN, 0.04], nan_ok=True)


def test_the_effect_size_is_the_difference_of_rank_sums_over_their_total():
    differences = np.array([0.3, -0.1, 0.2, 0.0, -0.4])
    # Sizes 0.1, 0.2, 0.3, 0.4 have ranks 1 to 4: 2 + 3 up, 1 + 4 down.
    assert rank_biserial(differences) == 0.0
    assert rank_biserial(np.array([0.3, -0.1, 0.2])) == pytest.approx((5 - 1) / 6, abs=1e-12)


def test_the_effect_size_agrees_with_scipys_smaller_rank_sum():
    differences = RNG.normal(0.3, 1, size=25)
    smaller = stats.wilcoxon(differences).statistic
    assert abs(rank_biserial(differences)) == pytest.approx(1 - 2 * smaller / (25 * 26 / 2), abs=1e-12)


@pytest.mark.parametrize("sign", [1, -1])
def test_differences_of_one_sign_have_the_largest_effect(sign):
    assert rank_biserial(sign * RNG.random(9)) == sign


def test_flips_are_the_resamples_of_the_other_sign_and_half_of_the_ties():
    assert flip_share(0.1, np.array([0.2, -0.1, 0.0, 0.3])) == 0.375
    assert flip_share(-0.1, np.array([0.2, -0.1, NAN])) == 0.5
    assert flip_share(0.0, np.array([0.2, 0.1])) == 0.5
    assert np.isnan(flip_share(NAN, np.ones(2)))
    assert np.isnan(flip_share(1.0, np.full(2, NAN)))


def test_flips_agree_with_the_normal_probability_for_many_clusters():
    resampled = RNG.normal(0.5, 1.0, size=200_000)
    assert flip_share(0.5, resampled) == pytest.approx(stats.norm.cdf(-0.5), abs=0.004)  # Monte Carlo


def test_the_share_of_being_best_is_divided_among_equals():
    resampled = np.array([[1.0, 2.0, 2.0], [3.0, 1.0, 0.0], [NAN, 1.0, 0.0], [NAN, NAN, NAN]])
    assert best_shares(resampled, "higher") == pytest.approx([1 / 3, 0.5, 1 / 6])
    assert best_shares(-resampled, "lower") == pytest.approx([1 / 3, 0.5, 1 / 6])
    assert np.isnan(best_shares(np.full((2, 2), NAN), "higher")).all()
