"""Invented stores: what is best is known, and which differences are noise."""

from __future__ import annotations

import math

import numpy as np
import pytest

from bcos_eval.reports.comparison.standings import stretched_ranks
from bcos_eval.reports.results import Results

N = 60


@pytest.fixture
def stand(make):
    def standings():
        results = Results.of([make.root])
        found = results.standings_of(results.rows)
        return found, {labels[3] for labels in found.best}, {labels[3] for labels in found.tied}

    return standings


def test_ties_are_paired_so_that_a_small_steady_difference_is_none(make, stand):
    difficulty = np.random.default_rng(0).uniform(0.2, 0.8, N)
    noise = np.random.default_rng(1).normal(0, 0.02, N)
    make.units(difficulty + 0.03, method="bcos")
    # The same on average as the best but for noise, and steadily below it by a tenth of the images' spread: the
    # intervals of all three overlap.
    make.units(difficulty + 0.03 + noise - noise.mean() - 1e-4, method="ixg")
    make.units(difficulty, method="lime")
    _, best, tied = stand()
    assert best == {"bcos"}
    assert tied == {"ixg"}


def test_controls_are_neither_best_nor_ranked(make, stand):
    scores = np.linspace(0.1, 0.5, N)
    make.units(scores, method="bcos")
    make.units(scores / 2, method="ixg")
    make.units(scores + 0.4, method="random", is_control=True)
    found, best, tied = stand()
    assert best == {"bcos"}
    assert not tied
    assert {who[3]: rank.rank for who, rank in found.ranks.items()} == {"bcos": 1.0, "ixg": 2.0}


def test_without_stimuli_to_tell_them_apart_all_are_tied(make, stand):
    make.units([0.9], method="bcos")
    make.units([0.1], method="ixg")
    found, best, tied = stand()
    assert (best, tied) == ({"bcos"}, {"ixg"})
    assert all(math.isnan(rank.low) for rank in found.ranks.values())


def test_mean_ranks_and_their_range_over_draws_of_the_stimuli(make, stand):
    spread = np.random.default_rng(0).normal(0, 0.05, N)
    make.units(0.9 + 0 * spread, method="bcos")
    make.units(0.3 + spread, method="ixg")
    make.units(0.3 - spread, method="lime")
    make.units(0.8 + 0 * spread, method="bcos", metric="energy_pg", preset="default")
    make.units(0.3 + spread, method="ixg", metric="energy_pg", preset="default")
    make.units(0.2 + spread, method="lime", metric="energy_pg", preset="default")
    ranks = {who[3]: rank for who, rank in stand()[0].ranks.items()}
    assert (ranks["bcos"].rank, ranks["bcos"].low, ranks["bcos"].high) == (1.0, 1.0, 1.0)
    # By one metric these two change places when images are drawn again, by the other they never do.
    assert {ranks["ixg"].rank, ranks["lime"].rank} in ({2.0, 3.0}, {2.5})
    assert (ranks["ixg"].low, ranks["ixg"].high) == (2.0, 2.5)
    assert (ranks["lime"].low, ranks["lime"].high) == (2.5, 3.0)
    assert ranks["ixg"].n_metrics == 2


def test_a_metric_that_some_methods_lack_counts_like_the_others(make, stand):
    for method, score in (("bcos", 0.9), ("ixg", 0.5), ("lime", 0.1)):
        make.units([score] * N, method=method)
    for method, score in (("bcos", 0.1), ("lime", 0.9)):
        make.units([score] * N, method=method, metric="energy_pg", preset="default")
    assert {who[3]: rank.rank for who, rank in stand()[0].ranks.items()} == {"bcos": 2, "ixg": 2, "lime": 2}


def test_equal_means_are_all_the_best_and_share_their_rank(make, stand):
    for method in ("bcos", "ixg", "lime"):
        make.units([0.5] * N, method=method)
    found, best, tied = stand()
    assert best == {"bcos", "ixg", "lime"}
    assert not tied
    assert {rank.rank for rank in found.ranks.values()} == {2.0}


def test_undefined_means_get_no_rank():
    ranks = stretched_ranks(np.array([[0.5, np.nan, 0.9]]), 3)
    assert ranks[0, [0, 2]].tolist() == [3.0, 1.0]
    assert np.isnan(ranks[0, 1])
