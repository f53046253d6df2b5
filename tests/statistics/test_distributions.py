from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import special

from bcos_eval.statistics.distributions import beta_cdf, beta_quantile, student_quantile, student_tail

PARAMETERS = st.floats(0.5, 5000)


@given(st.floats(0, 1), PARAMETERS, PARAMETERS)
@settings(max_examples=300, deadline=None)
def test_the_beta_distribution_is_scipys(x, a, b):
    # The logarithms of factorials of thousands cancel to eleven digits.
    assert beta_cdf(x, a, b) == pytest.approx(special.betainc(a, b, x), rel=1e-9, abs=1e-300)


@given(st.floats(1e-4, 1 - 1e-4), PARAMETERS, PARAMETERS)
@settings(max_examples=100, deadline=None)
def test_beta_quantiles_are_scipys(probability, a, b):
    assert beta_quantile(probability, a, b) == pytest.approx(special.betaincinv(a, b, probability), rel=1e-9)


@given(st.floats(0, 50), st.integers(1, 100_000))
@settings(max_examples=300, deadline=None)
def test_students_tail_is_scipys(t, degrees):
    assert student_tail(t, degrees) == pytest.approx(special.stdtr(degrees, -t), rel=1e-8, abs=1e-300)


@given(st.floats(1e-6, 0.499), st.integers(1, 100_000))
@settings(max_examples=100, deadline=None)
def test_students_quantiles_are_scipys(tail, degrees):
    assert student_quantile(tail, degrees) == pytest.approx(-special.stdtrit(degrees, tail), rel=1e-7)


@pytest.mark.parametrize(("x", "expected"), [(-0.1, 0.0), (0.0, 0.0), (0.5, 0.5), (1.0, 1.0), (1.1, 1.0)])
def test_the_uniform_distribution_is_a_beta(x, expected):
    assert beta_cdf(x, 1, 1) == pytest.approx(expected, abs=1e-15)


def test_the_median_of_student_is_zero():
    assert student_quantile(0.5, 9) == pytest.approx(0, abs=1e-12)
