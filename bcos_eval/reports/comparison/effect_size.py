"""How large a difference between two methods is, on a scale that does not depend on the metric's."""

from __future__ import annotations

import numpy as np
from scipy import stats

from .statistics import Floats


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
    if not len(differences):
        return float("nan")
    changed = differences[differences != 0]
    if not len(changed):
        return 0.0
    ranks = stats.rankdata(np.abs(changed))
    return float(ranks @ np.sign(changed) / ranks.sum())
