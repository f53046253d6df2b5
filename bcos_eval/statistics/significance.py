"""Tests of a difference between two methods, and their correction for the number of tests in a table."""

from __future__ import annotations

import numpy as np

from .resampling import Floats


def signed_rank_p(differences: Floats) -> float:
    """Return the two-sided p-value of the Wilcoxon signed-rank test.

    Args:
        differences: Independent paired differences `(N,)`: one per cluster, the nine cells of a grid averaged.

    Returns:
        The p-value: 1 where all differences are 0, NaN without differences. Differences of 0 are left out, as
        Wilcoxon does; fewer than six others cannot fall below 0.05.
    """
    if not len(differences):
        return float("nan")
    if not differences.any():
        return 1.0
    from scipy.stats import wilcoxon

    return float(wilcoxon(differences).pvalue)


def holm_adjusted(p_values: Floats) -> Floats:
    """Return p-values that hold for all tests of a table together.

    Args:
        p_values: The p-values of the tests `(N,)`; undefined ones (NaN) are no tests.

    Returns:
        Adjusted p-values `(N,)`, at least the given ones and at most 1, NaN where NaN was given.

    Source: Holm, A Simple Sequentially Rejective Multiple Test Procedure (1979).

    Example:
        >>> import numpy as np
        >>> holm_adjusted(np.array([0.04, 0.01, 0.03]))
        array([0.06, 0.03, 0.06])
    """
    order = np.argsort(p_values)  # NaN last
    n_tests = int(np.isfinite(p_values).sum())
    factors = np.maximum(n_tests - np.arange(len(p_values)), 1)
    adjusted = np.empty_like(p_values)
    adjusted[order] = np.minimum(np.maximum.accumulate(factors * p_values[order]), 1)
    return adjusted


def rank_biserial(differences: Floats) -> float:
    """Return the matched-pairs rank-biserial correlation, the effect size of the Wilcoxon signed-rank test.

    The differences are ranked by size; of the sum of all ranks, the share with a positive sign minus the share
    with a negative one. It is preferred to Cohen's d_z, which a few large differences can move arbitrarily and
    which scores that pile up at 0 and 1 make unreadable.

    Args:
        differences: Independent paired differences `(N,)`, one per cluster; those of 0 are left out.

    Returns:
        In [−1, 1]: 1 where every difference is positive, 0 where all are 0 or the signs balance. NaN without
        differences.

    Source: Kerby, The simple difference formula (2014).

    Example:
        >>> import numpy as np
        >>> rank_biserial(np.array([0.1, 0.2, -0.3]))
        0.0
    """
    from scipy.stats import rankdata

    if not len(differences):
        return float("nan")
    changed = differences[differences != 0]
    if not len(changed):
        return 0.0
    ranks = rankdata(np.abs(changed))
    return float(ranks @ np.sign(changed) / ranks.sum())
