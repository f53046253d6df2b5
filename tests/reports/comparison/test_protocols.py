from __future__ import annotations

import itertools
import json

import numpy as np
import pandas as pd
import pytest

from bcos_eval.errors import InputError
from bcos_eval.reports.comparison.protocols import protocol_tables, protocols_text
from bcos_eval.reports.comparison.unit_matrix import comparable_units
from bcos_eval.statistics.intervals import mean_interval
from bcos_eval.store.shards import Store

N = 40
NOISE = np.random.default_rng(0).normal(0, 0.02, N)


def tables(store):
    return protocol_tables(comparable_units(Store(store.root).shards()))


def fates(table):
    return {(one.a.label, one.b.label): one.fate for one in table.conclusions}


@pytest.fixture
def flipped(make):
    """Under `bcos_v2` ixg is .1 above grad, under `rescaled` .1 below; lime is above both under both."""
    for preset, sign in (("bcos_v2", 1), ("rescaled", -1)):
        make.units(0.5 + sign * 0.05 + NOISE, method="ixg", preset=preset)
        make.units(0.5 - sign * 0.05 - NOISE, method="grad", preset=preset)
        make.units(0.9 + NOISE[::-1], method="lime", preset=preset)
    return make


def test_a_pair_whose_order_is_reversed_turns_round_and_others_stand(flipped):
    (table,) = tables(flipped)
    model = "bcos_resnet18"
    assert fates(table) == {
        (f"{model}:grad", f"{model}:ixg"): "turns round",
        (f"{model}:grad", f"{model}:lime"): "stands",
        (f"{model}:ixg", f"{model}:lime"): "stands",
    }
    (pair,) = (one for one in table.conclusions if one.fate == "turns round")
    assert {preset: order.ahead for preset, order in pair.orders.items()} == {"bcos_v2": "b", "rescaled": "a"}
    assert pair.orders["bcos_v2"].difference == pytest.approx(-0.1 - 2 * NOISE.mean(), abs=1e-12)
    assert all(order.is_paired for order in pair.orders.values())


def test_intervals_hold_for_all_pairs_and_presets_together(flipped):
    """Three pairs under two presets are six intervals, each at 1 − 0.05 / 6."""
    (table,) = tables(flipped)
    pair = table.conclusions[0]
    differences = (0.45 - NOISE) - (0.55 + NOISE)
    expected = mean_interval(differences, range(N), confidence=1 - 0.05 / 6)
    found = pair.orders["bcos_v2"]
    assert (found.ci_low, found.ci_high) == pytest.approx(expected, abs=1e-12)


def test_what_is_ahead_follows_the_direction_of_the_preset(make):
    for preset in ("positive", "absolute"):
        make.units(0.2 + NOISE, method="a", metric="entropy", preset=preset, direction="lower")
        make.units(0.4 - NOISE, method="b", metric="entropy", preset=preset, direction="lower")
    (table,) = tables(make)
    assert {order.ahead for order in table.conclusions[0].orders.values()} == {"a"}


def test_a_pair_decided_by_one_preset_depends_on_it(make):
    make.units(0.6 + NOISE, method="a", preset="p")
    make.units(0.4 - NOISE, method="b", preset="p")
    make.units(0.5 + NOISE, method="a", preset="q")
    make.units(0.5 - NOISE + 2 * NOISE.mean(), method="b", preset="q")
    (table,) = tables(make)
    assert fates(table) == {("bcos_resnet18:a", "bcos_resnet18:b"): "depends"}


def test_equal_scores_are_never_decided(make):
    for preset in ("p", "q"):
        for method in ("a", "b"):
            make.units(0.5 + NOISE, method=method, preset=preset)
    (table,) = tables(make)
    assert [one.fate for one in table.conclusions] == ["never decided"]


def test_models_on_grids_of_their_own_are_compared_by_their_means(make):
    """The interval of a difference of independent means has the half width √(h₁² + h₂²)."""
    for preset in ("p", "q"):
        make.units(0.6 + NOISE, model="one", preset=preset, stimuli="of one")
        make.units(0.4 - NOISE[::-1], model="two", preset=preset, stimuli="of two")
    (table,) = tables(make)
    order = table.conclusions[0].orders["p"]
    assert not order.is_paired
    confidence = 1 - 0.05 / 2
    low_a, high_a = mean_interval(0.6 + NOISE, range(N), confidence=confidence)
    low_b, high_b = mean_interval(0.4 - NOISE, range(N), confidence=confidence)
    mean_a, mean_b = 0.6 + NOISE.mean(), 0.4 - NOISE.mean()
    half = np.hypot(mean_a - low_a, high_b - mean_b), np.hypot(high_a - mean_a, mean_b - low_b)
    assert order.difference == pytest.approx(mean_a - mean_b)
    assert (order.ci_low, order.ci_high) == pytest.approx(
        (order.difference - half[0], order.difference + half[1]), abs=1e-12
    )
    assert order.ahead == "a"


def test_methods_of_different_models_are_no_conclusion(make):
    for preset in ("p", "q"):
        make.units(0.6 + NOISE, model="one", method="a", preset=preset)
        make.units(0.6 + NOISE, model="two", method="b", preset=preset)
    (table,) = tables(make)
    assert table.conclusions == []


def test_a_single_preset_is_refused(make):
    make.units(0.5 + NOISE)
    with pytest.raises(InputError, match=r"^no metric was run with two presets; name one with several, such as"):
        tables(make)


def test_text_shows_means_chance_and_what_turns_round(flipped):
    text = protocols_text(tables(flipped), "md")
    assert "### grid_pg on shapes" in text
    assert "1 of 3 pairs turn round: one contender is ahead under some presets, the other under others." in text
    assert "2 of 3 pairs stand under every preset." in text
    (row,) = (line for line in text.splitlines() if line.startswith("| bcos_resnet18:grad"))
    assert "bcos_resnet18:ixg" in row
    (chance,) = (line for line in text.splitlines() if line.startswith("| chance"))
    assert [cell.strip() for cell in chance.split("|")[3:5]] == ["0.111", "0.111"]


def test_json_has_a_row_per_pair_and_preset(flipped):
    orders = json.loads(protocols_text(tables(flipped), "json"))["orders"]
    assert len(orders) == 6
    assert {row["fate"] for row in orders} == {"turns round", "stands"}


def test_weights_and_pools_are_not_mixed(make):
    """Two checkpoints under two presets, one preset on two pools of images."""
    for weights, level in (("w1", 0.2), ("w2", 0.7)):
        for method, preset in itertools.product(("ixg", "grad"), ("bcos_v2", "rescaled")):
            make.units(level + NOISE, method=method, weights=weights, preset=preset)
    units = comparable_units(Store(make.root).shards())
    other = units[units["preset"] == "bcos_v2"]
    other = other.assign(pool="shared", score=other["score"] + 0.1)
    (table,) = protocol_tables(pd.concat([units.assign(pool="own"), other], ignore_index=True))
    assert {one.model for one in table.means} == {"bcos_resnet18 [w1]", "bcos_resnet18 [w2]"}
    for contender, means in table.means.items():
        level = NOISE.mean() + (0.2 if "w1" in contender.model else 0.7)
        assert {preset: mean.mean for preset, mean in means.items()} == pytest.approx(
            {"bcos_v2 [own]": level, "bcos_v2 [shared]": level + 0.1, "rescaled": level}, abs=1e-12
        )
