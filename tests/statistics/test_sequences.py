from __future__ import annotations

import math
import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import expit

from bcos_eval.statistics.sequences import ConfidenceSequence, cluster_means, half_width

RNG = np.random.default_rng(0)


def slow_sequence(scores, level, target, candidates):
    """The hedged capital process, candidate by candidate and score by score, from the paper's formulas."""
    alpha = 1 - level
    kept = []
    for m in candidates:
        capital = {1: 1.0, -1: 1.0}
        is_out = False
        for t, x in enumerate(scores, start=1):
            seen = scores[: t - 1]
            means = [(0.5 + sum(seen[: i + 1])) / (i + 2) for i in range(len(seen))]
            variance = (0.25 + sum((x_i - mean) ** 2 for x_i, mean in zip(seen, means, strict=True))) / t
            stake = target / variance
            capital[1] *= 1 + min(stake, 0.75 / m) * (x - m)
            capital[-1] *= 1 - min(stake, 0.75 / (1 - m)) * (x - m)
            is_out |= max(capital[1] / 2, capital[-1] / 2) >= 1 / alpha
        if not is_out:
            kept.append(m)
    return min(kept), max(kept)


@pytest.mark.parametrize(("a", "b"), [(0.5, 0.5), (8, 2)])
def test_the_interval_is_that_of_the_papers_formulas(a, b):
    scores = np.random.default_rng(1).beta(a, b, 60)
    sequence = ConfidenceSequence(0, 1, level=0.9, target=0.05)
    sequence.update(scores)
    candidates = np.arange(1, 200) / 200
    low, high = slow_sequence(scores.tolist(), 0.9, 0.05, candidates)
    # The ends are rounded outwards to thousandths, those of the loop inwards to two-hundredths.
    assert low - 0.005 - 1e-9 <= sequence.interval[0] <= low
    assert high <= sequence.interval[1] <= high + 0.005 + 1e-9


@given(st.integers(0, 2**32), st.lists(st.integers(1, 70), min_size=1, max_size=6))
@settings(max_examples=20, deadline=None)
def test_portions_of_any_size_give_the_same_bits(seed, sizes):
    scores = np.random.default_rng(seed).random(sum(sizes))
    whole = ConfidenceSequence(0, 1)
    whole.update(scores)
    parts = ConfidenceSequence(0, 1)
    for part in np.split(scores, np.cumsum(sizes)[:-1]):
        parts.update(part)
    assert (parts.interval, parts.n) == (whole.interval, whole.n)
    assert np.array_equal(parts._log_capital, whole._log_capital)


def test_the_interval_never_grows_and_starts_as_the_range():
    sequence = ConfidenceSequence(-1, 3, target=0.1)
    ends = [sequence.interval]
    assert ends[0] == (-1, 3)
    for score in RNG.uniform(0, 1, 200):
        sequence.update([score])
        ends.append(sequence.interval)
    lows, highs = np.array(ends).T
    assert (np.diff(lows) >= 0).all()
    assert (np.diff(highs) <= 0).all()


def test_another_range_scales_the_interval():
    scores = RNG.random(150)
    unit, wide = ConfidenceSequence(0, 1, target=0.02), ConfidenceSequence(-2, 6, target=0.16)
    unit.update(scores)
    wide.update(8 * scores - 2)
    assert wide.interval == pytest.approx([8 * end - 2 for end in unit.interval], abs=0.0081)  # a candidate's step
    assert wide.half_width == pytest.approx(8 * unit.half_width, abs=0.0081)


@pytest.mark.parametrize("score", [0.0, 1.0, 0.5])
def test_equal_scores_keep_an_interval_around_them(score):
    sequence = ConfidenceSequence(0, 1, target=0.02)
    sequence.update(np.full(50, score))
    low, high = sequence.interval
    assert low <= score <= high
    assert 0.01 < high - low < 0.3


def test_scores_that_drift_leave_an_interval():
    sequence = ConfidenceSequence(0, 1)
    sequence.update(np.r_[np.zeros(500), np.ones(5000)])
    low, high = sequence.interval
    assert 0 <= low <= high <= 1
    assert sequence.half_width >= 0


@pytest.mark.parametrize(
    ("arguments", "settings_", "message"),
    [
        ((0, math.inf), {}, "a confidence sequence needs scores of a finite range, not of 0 to inf."),
        ((1, 1), {}, "a confidence sequence needs scores of a finite range, not of 1 to 1."),
        ((0, 1), {"level": 1.0}, "level is 1; give a probability between 0 and 1."),
        ((0, 1), {"target": 0.0}, "target is 0; give a half-width above 0."),
        ((0, 1), {"target": math.nan}, "target is nan; give a half-width above 0."),
    ],
)
def test_settings_that_make_no_sense_are_refused(arguments, settings_, message):
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        ConfidenceSequence(*arguments, **settings_)


@pytest.mark.parametrize("wrong", [1.5, -0.1, math.nan])
def test_scores_outside_the_range_are_refused_and_nothing_is_taken(wrong):
    sequence = ConfidenceSequence(0, 1)
    with pytest.raises(ValueError, match=r"outside the range 0 to 1;") as caught:
        sequence.update([0.5, wrong])
    assert str(caught.value) == (f"a score is {wrong:g}, outside the range 0 to 1; give the range of the metric.")
    assert (sequence.n, sequence.interval) == (0, (0, 1))


def test_clusters_are_averaged_in_the_order_they_come():
    scores = np.array([0.1, 0.3, 0.8, math.nan, 0.5, math.nan])
    assert cluster_means(scores, ["b", "b", "a", "a", "b", "c"]) == pytest.approx([0.3, 0.8], abs=1e-12)
    assert len(cluster_means(np.array([math.nan]), ["a"])) == 0
    with pytest.raises(ValueError, match=r"^2 scores with 1 labels; give one label per score\.$"):
        cluster_means(np.zeros(2), ["a"])


def test_the_half_width_of_cells_is_that_of_their_grids():
    of_grid = RNG.random(80)
    sequence = ConfidenceSequence(0, 1, target=0.05)
    sequence.update(of_grid)
    cells, grids = np.repeat(of_grid, 9), np.repeat([f"grid/{79 - i}" for i in range(80)], 9)
    assert half_width(cells, grids, low=0, high=1, target=0.05) == pytest.approx(sequence.half_width, abs=0.0011)
    assert half_width(np.zeros(0), [], low=0, high=1, target=0.05) == 0.5


def grid_means(rng, n):
    return expit(1.2 + rng.normal(0, 0.3, (n, 1)) + rng.normal(0, 0.7, (n, 9))).mean(1)


# Of two million grids, far more than an interval could tell from their expectation.
GRID_MEAN = float(np.mean([grid_means(np.random.default_rng(part), 20_000) for part in range(100)]))
# Scores and their mean.
KINDS = {
    "grids": (grid_means, GRID_MEAN),
    "beta(5, 2)": (lambda rng, n: rng.beta(5, 2, n), 5 / 7),
    "beta(0.5, 3)": (lambda rng, n: rng.beta(0.5, 3, n), 1 / 7),
    "uniform": (lambda rng, n: rng.random(n), 0.5),
    "hits at 0.9": (lambda rng, n: (rng.random(n) < 0.9) * 1.0, 0.9),
    "hits at 0.5": (lambda rng, n: (rng.random(n) < 0.5) * 1.0, 0.5),
}


def stopped(draw, rng, target, *, portion, most=20_000):
    sequence = ConfidenceSequence(0, 1, target=target)
    while sequence.half_width > target and sequence.n < most:
        sequence.update(draw(rng, portion))
    return sequence


def coverage_at_the_stop(kind, n_runs, target=0.05):
    draw, mean = KINDS[kind]
    rng = np.random.default_rng(7)
    held = 0
    for _ in range(n_runs):
        low, high = stopped(draw, rng, target, portion=16).interval
        held += low <= mean <= high
    return held / n_runs


@pytest.mark.parametrize("kind", ["grids", "uniform"])
def test_the_mean_is_in_the_interval_where_it_stops(kind):
    assert coverage_at_the_stop(kind, 60) >= 0.95 - 2 * 0.028  # standard error of 60 runs


@pytest.mark.slow
@pytest.mark.parametrize("kind", sorted(KINDS))
def test_the_sequence_covers_95_percent_where_it_stops(kind):
    # The martingale guarantees it; this would notice one that is none.
    assert coverage_at_the_stop(kind, 1000) >= 0.95


# Clusters that a half-width of 0.02 takes in the middle of the runs.
@pytest.mark.slow
@pytest.mark.parametrize(("kind", "most"), [("grids", 200), ("beta(5, 2)", 450), ("beta(0.5, 3)", 500)])
def test_fewer_units_than_the_2000_asked_for(kind, most):
    rng = np.random.default_rng(8)
    assert np.median([stopped(KINDS[kind][0], rng, 0.02, portion=8).n for _ in range(50)]) <= most


def ranked_population(generator):
    """Scores that fall with their place, as those of grids do whose images are ranked by confidence."""
    return np.linspace(0.97, 0.85, 173) + generator.normal(0, 0.02, 173).clip(-0.03, 0.03)


def test_scores_drawn_from_a_population_hold_its_mean_and_end_in_it():
    inside, stops = [], []
    for run in range(60):
        generator = np.random.default_rng(run)
        population = ranked_population(generator)
        drawn = generator.permutation(population)
        sequence = ConfidenceSequence(0, 1, target=0.02, population=len(drawn))
        while sequence.half_width >= 0.02 and sequence.n < len(drawn):
            sequence.update(drawn[sequence.n : sequence.n + 10])
        low, high = sequence.interval
        inside.append(low <= population.mean() <= high)
        stops.append(sequence.n)
        sequence.update(drawn[sequence.n :])
        assert sequence.half_width <= 0.5 / len(drawn) + 0.001  # what the last one can change, and the rounding
    assert np.mean(inside) >= 0.95
    independent = ConfidenceSequence(0, 1, target=0.02)
    independent.update(drawn)
    assert max(stops) < len(drawn)
    assert independent.half_width > sequence.half_width


def test_the_interval_of_a_population_does_not_depend_on_portions():
    drawn = np.random.default_rng(0).permutation(ranked_population(np.random.default_rng(1)))
    whole, pieces = (ConfidenceSequence(0, 1, population=200) for _ in range(2))
    whole.update(drawn)
    for start in range(0, len(drawn), 7):
        pieces.update(drawn[start : start + 7])
    assert whole.interval == pieces.interval
    assert (whole._log_capital == pieces._log_capital).all()


@pytest.mark.slow
def test_the_coverage_of_a_population_at_the_stop():
    inside = []
    for run in range(1000):
        generator = np.random.default_rng(run)
        population = generator.beta(0.5, 3, 600)
        drawn = generator.permutation(population)
        sequence = ConfidenceSequence(0, 1, target=0.05, population=len(drawn))
        while sequence.half_width >= 0.05:
            sequence.update(drawn[sequence.n : sequence.n + 1])
        inside.append(sequence.interval[0] <= population.mean() <= sequence.interval[1])
    assert np.mean(inside) >= 0.95
