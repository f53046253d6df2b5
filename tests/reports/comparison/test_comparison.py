from __future__ import annotations

import itertools
import re
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from bcos_eval.errors import InputError
from bcos_eval.reports.comparison.comparison import best_method, compare_all, with_holm
from bcos_eval.reports.comparison.report import compare_named, compare_within
from bcos_eval.reports.comparison.text import comparison_text
from bcos_eval.reports.comparison.unit_matrix import Contender, UnpairedError, comparable_units, unit_matrix
from bcos_eval.statistics.intervals import mean_interval
from bcos_eval.statistics.significance import holm_adjusted
from bcos_eval.store.facts import MethodFacts, MetricFacts, ShardAddress, ShardFacts
from bcos_eval.store.shards import StoredShard, unit_table

NAN = float("nan")
RNG = np.random.default_rng(0)
BASE = RNG.random(60)
# Two units per stimulus, as if grids had two cells.
STIMULI = [f"g/{i // 2:03d}" for i in range(60)]


def shard(scores, *, rule=None, models=("m",), direction="higher", first=0, statuses=None, **labels):
    """Scores of one method on consecutive units."""
    scores = np.asarray(scores, dtype=np.float64)
    places = range(first, first + len(scores))
    facts = {"dataset": "toy", "model": "m", "weights": "w", "method": "ixg", "metric": "grid_pg", "preset": "p"}
    units = pd.DataFrame(
        {
            **facts,
            **labels,
            "sample_id": [f"s{i}" for i in places],
            "stimulus": [STIMULI[i] for i in places],
            "target": [i % 5 for i in places],
            "unit": [i % 2 for i in places],
            "score": scores,
            "status": statuses or ["ok" if np.isfinite(score) else "nonfinite" for score in scores],
            "seconds": 0.5,
        }
    )
    kind = {"name": "grid" if rule else "single", "rule": rule or "", "n": 3, "models": list(models)}
    cell = "-".join([*facts, *labels.values()])
    stated = {**facts, **labels}
    metric = MetricFacts(
        stated["metric"], stated["preset"], direction, is_mean_over_classes=stated["metric"] == "pointing_game"
    )
    shared = ShardFacts(ShardAddress(cell, "s"), MethodFacts(stated["method"]), metric, 0, 1, {"stimulus": kind})
    return StoredShard(shared, unit_table(units.to_dict("records")), (NAN,) * len(units))


def compared(*shards):
    units = comparable_units(shards)
    contenders = [Contender(*pair) for pair in dict.fromkeys(zip(units["model"], units["method"], strict=True))]
    return compare_all(unit_matrix(units, contenders))


def test_a_comparison_is_the_interval_and_the_tests_of_the_differences():
    other = BASE + RNG.normal(0.05, 0.1, size=60)
    (row,) = compared(shard(other, method="a"), shard(BASE, method="b"))
    differences = other - BASE
    by_stimulus = differences.reshape(30, 2).mean(1)
    assert row.difference == pytest.approx(differences.mean(), abs=1e-12)
    assert (row.mean_a, row.mean_b) == pytest.approx((other.mean(), BASE.mean()), abs=1e-12)
    assert (row.ci_low, row.ci_high) == pytest.approx(mean_interval(by_stimulus, range(30)), abs=1e-12)
    assert row.p_wilcoxon == pytest.approx(stats.wilcoxon(by_stimulus).pvalue, abs=1e-12)
    # Half a dozen skewness terms apart from Student's.
    assert row.p == pytest.approx(stats.ttest_1samp(by_stimulus, 0).pvalue, abs=0.02)
    assert row.p >= stats.ttest_1samp(by_stimulus, 0).pvalue - 1e-12
    assert (row.n, row.n_clusters, row.n_undefined, row.n_unpaired) == (60, 30, 0, 0)


def test_the_paired_interval_agrees_with_scipys_where_every_unit_is_a_stimulus():
    scores = {"a": BASE + RNG.normal(0, 0.1, 60), "b": BASE}
    shards = [shard(values[::2].repeat(2), method=method) for method, values in scores.items()]
    (row,) = compared(*shards)
    expected = stats.bootstrap(
        (scores["a"][::2], scores["b"][::2]),
        lambda a, b, axis: np.mean(a - b, axis=axis),
        paired=True,
        n_resamples=20_000,
        method="percentile",
        rng=np.random.default_rng(1),
    ).confidence_interval
    # Monte Carlo: an end of an interval from 2000 resamples has a standard error near 0.06 of the mean's.
    tolerance = 5 * 0.06 * (scores["a"] - scores["b"]).std() / np.sqrt(30)
    assert (row.ci_low, row.ci_high) == pytest.approx(tuple(expected), abs=tolerance)


def test_equal_methods_do_not_differ():
    (row,) = with_holm(compared(shard(BASE, method="a"), shard(BASE * (1 + 1e-8), method="b")), ["higher"])
    assert row.difference == 0
    assert np.isnan([row.ci_low, row.ci_high]).all()  # 30 equal stimuli do not say that all are equal
    assert (row.p, row.p_holm, row.p_wilcoxon, row.rank_biserial) == (1, 1, 1, 0)
    assert (row.flip_share, row.better) == (0.5, "")


@pytest.mark.parametrize(("direction", "better"), [("higher", "a"), ("lower", "b")])
def test_a_method_that_is_higher_everywhere_is_better_where_higher_is(direction, better):
    (row,) = with_holm(compared(shard(BASE + 0.1, method="a"), shard(BASE, method="b")), [direction])
    assert row.difference == pytest.approx(0.1, abs=1e-12)
    assert (row.rank_biserial, row.flip_share, row.better) == (1, 0, better)
    assert row.p_holm < 1e-5


def test_swapping_the_sides_mirrors_the_comparison():
    noisy = BASE + RNG.normal(0, 0.1, 60)
    (one,) = compared(shard(noisy, method="a"), shard(BASE, method="b"))
    (other,) = compared(shard(BASE, method="b"), shard(noisy, method="a"))
    assert other.difference == pytest.approx(-one.difference, abs=1e-12)
    assert (other.ci_low, other.ci_high) == pytest.approx((-one.ci_high, -one.ci_low), abs=1e-12)
    assert other.rank_biserial == pytest.approx(-one.rank_biserial, abs=1e-12)
    assert (other.p, other.flip_share) == pytest.approx((one.p, one.flip_share), abs=1e-12)


def test_undefined_scores_are_removed_in_pairs_and_counted():
    gap = BASE.copy()
    gap[:3] = NAN
    shorter = BASE[:50] - 0.1
    (row,) = compared(shard(gap, method="a"), shard(shorter, method="b"))
    assert (row.n, row.n_undefined, row.n_unpaired) == (47, 3, 10)
    assert row.n_clusters == 24
    assert row.difference == pytest.approx(0.1, abs=1e-12)
    assert row.mean_a == pytest.approx(BASE[3:50].mean(), abs=1e-12)


def test_nothing_defined_is_undefined():
    (row,) = with_holm(compared(shard([NAN] * 60, method="a"), shard(BASE, method="b")), ["higher"])
    assert (row.n, row.n_undefined, row.n_tests, row.better) == (0, 60, 0, "")
    assert np.isnan([row.difference, row.ci_low, row.p, row.p_holm, row.rank_biserial, row.flip_share]).all()


def test_the_pointing_game_is_compared_by_the_mean_over_classes():
    hits = (RNG.random((2, 60)) < 0.5).astype(float)
    (row,) = compared(*(shard(one, method=m, metric="pointing_game") for m, one in zip("ab", hits, strict=True)))
    of_class = [(hits[0] - hits[1])[np.arange(60) % 5 == k].mean() for k in range(5)]
    assert row.difference == pytest.approx(np.mean(of_class), abs=1e-12)


def test_all_pairs_equal_the_pairs_one_by_one():
    shards = [shard(BASE + RNG.normal(0, 0.2, 60), method=method) for method in "abc"]
    together = compared(*shards)
    alone = [compared(*pair)[0] for pair in itertools.combinations(shards, 2)]
    for row, expected in zip(together, alone, strict=True):
        assert (row.method_a, row.method_b) == (expected.method_a, expected.method_b)
        assert (row.difference, row.ci_low, row.ci_high, row.p, row.flip_share) == pytest.approx(
            (expected.difference, expected.ci_low, expected.ci_high, expected.p, expected.flip_share), abs=1e-12
        )


def test_the_leader_of_a_table_and_how_surely_it_leads():
    shards = [shard(BASE + gain, method=method) for method, gain in zip("abc", (0.0, 0.3, 0.1), strict=True)]
    units = comparable_units(shards)
    best = best_method(unit_matrix(units, [Contender("m", method) for method in "abc"]))
    assert (best.best, best.best_share, best.n) == ("m:b", 1.0, 60)
    lower = comparable_units([shard(BASE + g, method=m, direction="lower") for m, g in (("a", 0.1), ("b", 0.0))])
    assert best_method(unit_matrix(lower, [Contender("m", "a"), Contender("m", "b")])).best == "m:b"


def test_the_runner_up_is_the_next_best_mean_where_one_wins_every_resample():
    gains = {"a": 0.0, "b": 0.1, "c": 0.3, "d": 0.2}
    shards = [shard(BASE + gain, method=method) for method, gain in gains.items()]
    contenders = [Contender("m", method) for method in "abcd"]
    for order in itertools.permutations(contenders):
        best = best_method(unit_matrix(comparable_units(shards), order))
        assert (best.best, best.best_share, best.runner_up, best.runner_up_share) == ("m:c", 1.0, "m:d", 0.0)
        assert (best.best_mean, best.runner_up_mean) == pytest.approx((BASE.mean() + 0.3, BASE.mean() + 0.2))
    text = comparison_text(compare_within(comparable_units(shards)), "md")
    first, second = (f"m:{name} ({BASE.mean() + gains[name]:.3f})" for name in "cd")
    stated = f"{first}, best in 100.0 % of the resamples; next {second}, best in 0.0 %."
    assert f"Best of 4 methods on 60 units: {stated}" in text


def test_skewed_differences_of_equal_means_have_no_better_side():
    # Five in six stimuli favour A by a little, one in six B by as much in all: ranks are sure, means equal.
    differences = np.tile([0.02] * 10 + [-0.1] * 2, 5)
    (row,) = with_holm(compared(shard(0.5 + differences, method="a"), shard([0.5] * 60, method="b")), ["higher"])
    assert row.p_wilcoxon < 0.05
    assert row.difference == pytest.approx(0, abs=1e-12)
    assert row.p > 0.5
    assert row.better == ""


def test_a_test_that_the_resamples_or_the_interval_contradict_gives_no_verdict():
    (row,) = compared(shard(BASE + RNG.normal(0.1, 0.1, 60), method="a"), shard(BASE, method="b"))
    assert with_holm([row], ["higher"])[0].better == "a"
    for contradiction in ({"flip_share": 0.5}, {"ci_low": -0.1}, {"p": 0.05}):
        assert with_holm([replace(row, **contradiction)], ["higher"])[0].better == ""


def test_fewer_than_30_stimuli_are_marked():
    def text(n):
        shards = [shard(BASE[:n] + RNG.normal(0.1, 0.1, n), method="a"), shard(BASE[:n], method="b")]
        return comparison_text(compare_named(comparable_units(shards), "a", "b"), "md")

    assert "| 58* |" in text(58)
    assert text(58).endswith("\n* fewer than 30 stimuli: intervals are wide, orders of means uncertain.\n")
    assert "| 60 |" in text(60)
    assert "* fewer" not in text(60)


def test_grids_of_each_models_own_pool_are_no_pairs():
    with pytest.raises(UnpairedError) as caught:
        compared(shard(BASE, rule="bcos_v2"), shard(BASE, rule="bcos_v2", model="n", models=("n",)))
    assert str(caught.value) == (
        "grid_pg/p on toy was measured on different units for m and n: bcos_v2 builds each model's grids from its "
        "own confident images; run them together with --pool shared."
    )


def test_grids_shared_with_other_models_are_no_pairs():
    with pytest.raises(UnpairedError, match=r"their grids were made for other sets of models; run them together"):
        compared(
            shard(BASE, rule="bcos_v2", models=("m", "k")),
            shard(BASE, rule="bcos_v2", model="n", models=("n", "k")),
        )


def test_single_images_and_shared_grids_pair_across_models():
    for settings in ({}, {"rule": "bcos_v2", "models": ("m", "n")}):
        other = {**settings, "models": settings.get("models", ("n",))}
        (row,) = compared(shard(BASE, **settings), shard(BASE - 0.1, model="n", **other))
        assert (row.n, row.model_a, row.model_b) == (60, "m", "n")


def test_no_unit_in_common_is_refused():
    with pytest.raises(UnpairedError) as caught:
        compared(shard(BASE[:10], method="a"), shard(BASE[:10], method="b", first=20))
    assert str(caught.value) == (
        "grid_pg/p on toy has no unit in common; run them with the same --seed and --samples."
    )


def test_scores_of_several_weights_are_refused():
    with pytest.raises(UnpairedError) as caught:
        compared(shard(BASE, method="a", weights="w2"), shard(BASE, method="b", weights="w1"))
    assert str(caught.value) == (
        "grid_pg/p on toy has scores of 2 weights of 'm' (w1, w2); keep the results of each in a folder "
        "of its own."
    )


def two_of_each():
    """Two methods with two weights of a model, and on two pools of images."""
    shards = [
        shard(BASE + gain, method=method, weights=weights)
        for weights, gap in (("w1", 0.1), ("w2", 0.3))
        for method, gain in (("a", gap), ("b", 0))
    ]
    for models, gap in (("m:w1",), 0.2), (("m:w1", "n:w3"), 0.4):
        for method, gain in (("a", gap), ("b", 0)):
            one = shard(BASE + gain, method=method, weights="w1", metric="iou", rule="bcos_v2", models=models)
            stated = {**one.facts.key, "model": {"name": "m", "weights": "w1"}}
            address = ShardAddress(f"{one.facts.address.cell}-{len(models)}", "s")
            shards.append(replace(one, facts=replace(one.facts, key=stated, address=address)))
    return comparable_units(shards)


@pytest.mark.parametrize("compare", [compare_within, lambda units: compare_named(units, "a", "b")])
def test_weights_and_pools_are_named_where_they_vary_and_never_mixed(compare):
    report = compare(two_of_each())
    rows = pd.concat([table.rows for table in report.tables])
    assert report.notes == ()
    assert {(r.metric, r.model_a, r.pool): round(r.difference, 9) for r in rows.itertuples()} == {
        ("grid_pg", "m [w1]", ""): 0.1,
        ("grid_pg", "m [w2]", ""): 0.3,
        ("iou", "m [w1]", "own"): 0.2,
        ("iou", "m [w1]", pool_of(rows)): 0.4,
    }
    text = comparison_text(report, "md")
    for name in ("m [w1]", "m [w2]", "iou/p [own] ↑", f"iou/p [{pool_of(rows)}] ↑", "grid_pg/p ↑"):
        assert name in text


def pool_of(rows):
    (pool,) = set(rows["pool"]) - {"", "own"}
    return pool


def test_two_checkpoints_of_a_model_are_compared_by_their_weights():
    (table,) = compare_named(two_of_each(), "m [w2]:a", "m [w1]:a").tables
    assert table.rows["difference"].tolist() == pytest.approx([0.2], abs=1e-12)
    with pytest.raises(InputError, match=re.escape("m [w1]")):
        compare_named(two_of_each(), "m:a", "m:b")


def some_results():
    """Two models; `m` has three methods, `n` one; grids from own pools and single images."""
    shards = []
    for metric, rule in (("grid_pg", "bcos_v2"), ("energy_pg", None)):
        for model, method in (("m", "a"), ("m", "b"), ("m", "c"), ("n", "a")):
            scores = BASE + 0.2 * "abc".index(method)
            shards.append(shard(scores, model=model, method=method, metric=metric, rule=rule, models=(model,)))
    return comparable_units(shards)


def test_what_cannot_be_compared_is_noted_if_something_can():
    report = compare_named(some_results(), "m:b", "n")
    (table,) = report.tables
    assert table.rows["metric"].tolist() == ["energy_pg"]
    assert report.notes == (
        "grid_pg/p on toy was measured on different units for m and n: bcos_v2 builds each model's grids from its "
        "own confident images; run them together with --pool shared.",
    )


def test_holm_corrects_within_what_is_shown_together():
    (named,) = compare_named(some_results(), "a", "b").tables
    assert named.rows["n_tests"].tolist() == [2, 2]
    tables = compare_within(some_results()).tables
    assert [(len(table.rows), table.rows["n_tests"].iloc[0]) for table in tables] == [(3, 3), (3, 3)]
    assert [table.best.best for table in tables] == ["m:c", "m:c"]
    for table in tables:
        assert table.rows["p_holm"].tolist() == holm_adjusted(table.rows["p"].to_numpy()).tolist()


def test_a_table_without_defined_scores_is_noted():
    undefined = [shard([NAN] * 4, method=method, metric="iou") for method in "ab"]
    defined = [shard(BASE, method=method) for method in "ab"]
    report = compare_within(comparable_units([*undefined, *defined]))
    assert len(report.tables) == 1
    assert report.notes == ("none of m:a, m:b has a defined score.",)


@pytest.mark.parametrize(
    ("keep", "message"),
    [
        ("n", "no metric was run for two methods of a model; run some with --method A,B."),
        ("m", None),
    ],
)
def test_a_single_method_leaves_nothing_to_compare(keep, message):
    units = some_results()
    units = units[units["model"] == keep]
    if message is None:
        assert compare_within(units).tables
        return
    with pytest.raises(InputError) as caught:
        compare_within(units)
    assert str(caught.value) == message


def test_metrics_that_were_not_run_for_both_are_refused():
    units = comparable_units([shard(BASE, method="a"), shard(BASE, method="b", metric="energy_pg")])
    with pytest.raises(InputError) as caught:
        compare_named(units, "a", "b")
    assert str(caught.value) == "no metric was run for both 'a' and 'b'; run both with the same --metric."


def test_markdown_names_the_better_side_and_counts_units_without_a_plain_score():
    statuses = ["zero_map"] * 2 + ["constant_map"] + ["ok"] * 57
    units = comparable_units([shard(BASE + 0.25, method="a", statuses=statuses), shard(BASE, method="b")])
    header, _, row = comparison_text(compare_named(units, "a", "b"), "md").splitlines()[:3]
    shown = dict(zip((c.strip() for c in header.split("|")), (c.strip() for c in row.split("|")), strict=True))
    assert shown["metric"] == "grid_pg/p ↑"
    assert (shown["A"], shown["B"], shown["better"]) == ("a", "b", "a")
    assert (shown["A − B"], shown["95 % interval"], shown["p"]) == ("0.250", "–", "<0.001")
    assert (shown["model"], shown["n"]) == ("m", "60")
    assert (shown["removed"], shown["unpaired"]) == ("0", "0")
    assert shown["no plain score"] == "A: 2 zero map, 1 constant map"


def test_a_difference_that_three_digits_would_hide_is_shown_by_its_size():
    gains = 2e-4 + 1e-5 * (np.arange(60) % 4 > 1)
    units = comparable_units([shard(BASE + gains, method="a"), shard(BASE, method="b")])
    assert " 2e-04 | [2e-04, 2e-04] |" in comparison_text(compare_named(units, "a", "b"), "md")


def test_csv_and_json_hold_all_numbers_unrounded():
    report = compare_within(some_results())
    table = pd.read_csv(pd.io.common.StringIO(comparison_text(report, "csv")))
    assert len(table) == 6
    assert table["difference"].tolist() == pytest.approx([-0.2, -0.4, -0.2] * 2, abs=1e-12)
    loaded = pd.read_json(pd.io.common.StringIO(comparison_text(report, "json")), typ="series")
    assert loaded["tables"][0]["best"]["best"] == "m:c"
    assert loaded["tables"][0]["comparisons"][1]["difference"] == pytest.approx(-0.4, abs=1e-12)
    assert loaded["notes"] == []
