"""How far metrics put ever noisier maps in their order, from stored units."""

from __future__ import annotations

import json

import numpy as np
import pytest
from scipy import stats

from bcos_eval.cli.main import main
from bcos_eval.errors import InputError
from bcos_eval.reports.comparison.known_order import recoveries
from bcos_eval.reports.results import load_results

NOISES = (0.25, 0.5, 0.75, 1.0)


def store(make, metric, scores, *, direction="higher", targets_per_stimulus=1):
    """Scores `(N, 5)` of gradcam and of its maps at four noises."""
    methods = ["gradcam", *(f"degraded(noise={noise},of=gradcam)" for noise in NOISES)]
    for method, column in zip(methods, np.asarray(scores).T, strict=True):
        make.units(
            column,
            method=method,
            metric=metric,
            direction=direction,
            is_control=method != "gradcam",
            targets_per_stimulus=targets_per_stimulus,
        )


def by_metric(make):
    return {one.metric.split("/")[0]: one for one in recoveries(load_results(make.root).shards)}


def test_a_metric_that_always_sees_the_noise_gets_one(make):
    rng = np.random.default_rng(0)
    falling = np.sort(rng.random((40, 5)), 1)[:, ::-1]
    store(make, "grid_pg", falling)
    store(make, "pixel_deletion", 1 - falling, direction="lower")
    store(make, "entropy", 1 - falling)
    found = by_metric(make)
    assert found["grid_pg"].tau == found["pixel_deletion"].tau == 1
    assert found["grid_pg"].whole == 1
    assert found["entropy"].tau == -1
    assert found["grid_pg"].levels == (0, *NOISES)
    assert (found["grid_pg"].of, found["grid_pg"].n_units) == ("gradcam", 40)


def test_a_metric_that_scores_at_random_gets_nought_within_its_interval(make):
    store(make, "grid_pg", np.random.default_rng(0).random((400, 5)))
    found = by_metric(make)["grid_pg"]
    # Without ties τ has variance 2 (2 n + 5) / (9 n (n − 1)), n = 5.
    assert abs(found.tau) < 3 * (30 / 180) ** 0.5 / 400**0.5
    assert found.ci_low < 0 < found.ci_high
    assert found.whole == pytest.approx(1 / 120, abs=0.015)


def test_the_mean_is_over_scipy_s_tau_of_each_unit(make):
    scores = np.random.default_rng(1).random((12, 5))
    store(make, "grid_pg", scores)
    expected = np.mean([stats.kendalltau(-np.arange(5), row).statistic for row in scores])
    assert by_metric(make)["grid_pg"].tau == pytest.approx(expected, abs=1e-12)


def test_a_metric_that_tells_nothing_apart_gets_nought(make):
    store(make, "grid_pg", np.full((9, 5), 0.3))
    found = by_metric(make)["grid_pg"]
    assert (found.tau, found.whole) == (0, 0)


def test_units_without_a_score_at_every_noise_are_left_out(make):
    scores = np.tile(np.linspace(1, 0, 5), (10, 1))
    scores[3, 2] = np.nan
    store(make, "grid_pg", scores)
    assert by_metric(make)["grid_pg"].n_units == 9


def test_units_of_one_stimulus_are_one_observation(make):
    store(make, "grid_pg", np.tile(np.linspace(1, 0, 5), (36, 1)), targets_per_stimulus=4)
    assert by_metric(make)["grid_pg"].n_stimuli == 9


def test_noise_nought_may_be_stored_twice(make):
    store(make, "grid_pg", np.tile(np.linspace(1, 0, 5), (10, 1)))
    make.units(np.ones(10), method="degraded(noise=0.0,of=gradcam)", is_control=True)
    assert by_metric(make)["grid_pg"].tau == 1


def test_two_noises_make_no_order(make):
    make.units([0.5, 0.6], method="gradcam")
    make.units([0.1, 0.2], method="degraded(noise=1.0,of=gradcam)", is_control=True)
    assert recoveries(load_results(make.root).shards) == []


@pytest.fixture
def agreement(make, capsys):
    """Runs the command on the store and returns what it prints."""

    def shown(*arguments):
        with pytest.raises(SystemExit) as caught:
            main(["agreement", str(make.root), *arguments])
        assert caught.value.code == 0
        return capsys.readouterr().out

    return shown


def test_the_command_shows_it_and_ranks_no_map_made_worse(make, agreement):
    store(make, "grid_pg", np.tile(np.linspace(1, 0, 5), (10, 1)))
    store(make, "energy_pg", np.tile(np.linspace(0, 1, 5), (10, 1)))
    alone = agreement()
    assert "### shapes, bcos_resnet18: maps of gradcam made worse in steps" in alone
    assert "Spearman" not in alone
    rows = [line for line in alone.splitlines() if line.startswith(("| grid_pg", "| energy_pg"))]
    assert [row.split("|")[1].split("/")[0].strip() for row in rows] == ["grid_pg", "energy_pg"]
    assert "100%" in rows[0]
    pairs = json.loads(agreement("--format", "json"))
    assert {row["b"]: row["kendall"] for row in pairs if row["a"].startswith("grid_pg")} == {
        "known order of gradcam": 1.0
    }
    for metric, scores in (("grid_pg", (0.1, 0.2, 0.3)), ("energy_pg", (0.1, 0.2, 0.3))):
        for method, score in zip(("ixg", "grad", "lime"), scores, strict=True):
            make.units([score] * 10, method=method, metric=metric)
    both = agreement()
    assert "(4 methods)" in both
    assert "maps of gradcam made worse in steps" in both
    table = load_results(make.root).agreement()
    assert sorted(table["n_methods"]) == [4, 5, 5]


def test_models_are_compared_without_it(make):
    store(make, "grid_pg", np.tile(np.linspace(1, 0, 5), (10, 1)))
    with pytest.raises(InputError, match=r"^no two models were run with 3 methods in common"):
        load_results(make.root).agreements("models")
