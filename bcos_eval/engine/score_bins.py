"""Bins of units ranked by score, as AggAtt forms them."""

from __future__ import annotations

import itertools

import numpy as np
from numpy.typing import NDArray

from bcos_eval.store.aggregates import BIN_EDGES

# With fewer units one of the narrow bins has none.
FEWEST_UNITS = 30


def ranked_bins(scores: NDArray[np.float64], inside: NDArray[np.float64]) -> list[NDArray[np.int64]]:
    """Positions of the units in each bin, best first.

    Args:
        scores: Score of each unit, `(N,)`, finite, higher is better.
        inside: Positive mass inside the region, `(N,)`, which ranks units of the same score, the larger first.
            Units with the same of both keep their order.

    Returns:
        One array per bin. Edges are rounded to whole units; the official code refuses numbers of units of which
        they are not whole, so that bins are the same wherever both exist (500: 10, 15, 225, 225, 15, 10).

    Raises:
        ValueError: If there are fewer than `FEWEST_UNITS` units.

    Source: Rao et al., Towards Better Understanding Attribution Methods (CVPR 2022), AggAtt.
    """
    if len(scores) < FEWEST_UNITS:
        raise ValueError(
            f"{len(scores)} scores do not fill {len(BIN_EDGES) - 1} bins; give {FEWEST_UNITS} or more."
        )
    order = np.lexsort((-inside, -scores))
    edges = [round(edge * len(scores)) for edge in BIN_EDGES]
    return [order[first:stop] for first, stop in itertools.pairwise(edges)]
