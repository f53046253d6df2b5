from __future__ import annotations

import itertools
import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bcos_eval.engine.score_bins import FEWEST_UNITS, ranked_bins
from bcos_eval.store.aggregates import BIN_EDGES, bin_names


def official_bins(scores, inside):
    """The published procedure in loops, for numbers of units of which the edges are whole."""
    n = len(scores)
    ranked = sorted(range(n), key=lambda unit: (scores[unit], inside[unit]), reverse=True)
    bounds = [edge * n for edge in BIN_EDGES]
    assert all(abs(bound - round(bound)) < 1e-6 for bound in bounds)
    return [ranked[round(first) : round(stop)] for first, stop in itertools.pairwise(bounds)]


@pytest.mark.parametrize("n", [100, 500])
def test_bins_equal_the_published_ones(n):
    rng = np.random.default_rng(n)
    scores, inside = rng.integers(0, 20, n) / 20, rng.random(n)
    assert [members.tolist() for members in ranked_bins(scores, inside)] == official_bins(scores, inside)


def test_five_hundred_units_make_the_known_bins():
    rng = np.random.default_rng(0)
    bins = ranked_bins(rng.random(500), rng.random(500))
    assert [len(members) for members in bins] == [10, 15, 225, 225, 15, 10]


def test_mass_inside_ranks_units_of_the_same_score_and_their_order_the_rest():
    inside = np.array([1.0, 3.0, 2.0, 2.0, *[0.0] * 46])
    ranked = np.concatenate(ranked_bins(np.ones(50), inside))
    assert ranked.tolist() == [1, 2, 3, 0, *range(4, 50)]


@settings(max_examples=60, deadline=None)
@given(n=st.integers(FEWEST_UNITS, 1500))
def test_every_unit_is_in_one_bin_and_no_bin_is_empty(n):
    bins = ranked_bins(np.linspace(0, 1, n), np.zeros(n))
    assert np.concatenate(bins).tolist() == list(range(n))[::-1]
    assert all(members.size for members in bins)


def test_too_few_units_are_refused():
    message = "29 scores do not fill 6 bins; give 30 or more."
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        ranked_bins(np.zeros(29), np.zeros(29))


def test_bins_are_named_by_their_percents():
    assert bin_names() == ("0–2 %", "2–5 %", "5–50 %", "50–95 %", "95–98 %", "98–100 %")
