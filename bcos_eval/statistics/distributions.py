"""Student's t and the beta distribution: the few values that intervals need.

`scipy.special` has them, and takes a quarter of a second to load, as long as the rest of a leaderboard. Tests
compare the two.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import lru_cache

# Relative change at which a continued fraction or a bisection has converged.
_PRECISION = 1e-15
# What replaces a zero in the continued fraction (Lentz's method).
_TINY = 1e-300
# The fraction converges in about the square root of the larger parameter.
_MOST_TERMS = 100_000
_KEPT = 4096


def beta_cdf(x: float, a: float, b: float) -> float:
    """Return the probability that a beta variable with parameters a, b > 0 is at most x in [0, 1].

    Source: DLMF 8.17.22, the continued fraction of the regularised incomplete beta function.
    """
    if x <= 0 or x >= 1:
        return float(x >= 1)
    if x > (a + 1) / (a + b + 2):
        return 1 - beta_cdf(1 - x, b, a)
    log_front = a * math.log(x) + b * math.log1p(-x) + math.lgamma(a + b) - math.lgamma(a) - math.lgamma(b)
    return math.exp(log_front) / (a * _fraction(x, a, b))


@lru_cache(_KEPT)
def beta_quantile(probability: float, a: float, b: float) -> float:
    """Return the x in [0, 1] at which `beta_cdf` reaches a probability."""
    return _bisected(lambda x: beta_cdf(x, a, b) < probability, 0.0, 1.0)


def student_tail(t: float, degrees: float) -> float:
    """Return the probability that Student's t with some degrees of freedom is above t ≥ 0."""
    if t < 1:  # a share near 1 would lose digits
        return (1 - beta_cdf(t * t / (degrees + t * t), 0.5, degrees / 2)) / 2
    return beta_cdf(degrees / (degrees + t * t), degrees / 2, 0.5) / 2


@lru_cache(_KEPT)
def student_quantile(tail: float, degrees: float) -> float:
    """Return the t that Student's is above with a probability of 0 < tail ≤ 1/2."""
    high = 1.0
    while student_tail(high, degrees) > tail:
        high *= 2
    return _bisected(lambda t: student_tail(t, degrees) > tail, 0.0, high)


def _fraction(x: float, a: float, b: float) -> float:
    """Evaluate 1 + d1 / (1 + d2 / (1 + …)) by Lentz's method."""
    value = ratio = 1.0
    inverse = 0.0
    for term in range(1, _MOST_TERMS):
        m = term // 2
        if term % 2:
            d = -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1))
        else:
            d = m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m))
        inverse = 1 / ((1 + d * inverse) or _TINY)
        ratio = (1 + d / ratio) or _TINY
        value *= ratio * inverse
        if abs(ratio * inverse - 1) < _PRECISION:
            break
    return value


def _bisected(is_below: Callable[[float], bool], low: float, high: float) -> float:
    """Return where `is_below` turns from true to false."""
    while high - low > _PRECISION * high:
        middle = (low + high) / 2
        if middle in (low, high):
            break
        low, high = (middle, high) if is_below(middle) else (low, middle)
    return (low + high) / 2
