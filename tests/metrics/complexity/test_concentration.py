"""Sparseness (Gini) and entropy, which know nothing but the map."""

from __future__ import annotations

import math

import pytest
import torch

from bcos_eval.metrics import Status, gini_index, mass_entropy, normalised_entropy

KEYS = [f"{name}/{preset}" for name in ("sparseness", "entropy") for preset in ("positive", "absolute")]


def _slow_gini(entries):
    """Mean absolute difference of all pairs over twice the mean."""
    n = len(entries)
    return sum(abs(a - b) for a in entries for b in entries) / (2 * n * sum(entries))


@pytest.mark.parametrize("seed", range(4))
def test_the_gini_index_is_half_the_relative_mean_difference(seed):
    maps = torch.rand(1, 1, 5, 4, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    assert gini_index(maps).item() == pytest.approx(_slow_gini(maps.flatten().tolist()), abs=1e-9)


def test_the_positive_part_of_map_v_has_the_known_gini_index(map_v, score):
    assert score("sparseness", map_v).values.item() == pytest.approx(0.6614583333333334, abs=1e-9)


def test_an_added_constant_makes_the_gini_index_depend_on_scale_so_none_is_added(map_v):
    positive = map_v.clamp_min(0)
    assert gini_index(positive + 1e-7).item() == pytest.approx(0.6614582891, abs=1e-9)
    assert gini_index(positive * 1e-6 + 1e-7).item() == pytest.approx(0.6201171875, abs=1e-9)
    assert gini_index(positive * 1e-6).item() == pytest.approx(0.6614583333333334, abs=1e-9)


def test_one_pixel_and_a_uniform_map_are_the_ends_of_the_scales():
    one_hot = torch.zeros(1, 1, 4, 4)
    one_hot[0, 0, 1, 2] = 0.3
    uniform = torch.full((1, 1, 4, 4), 0.3)
    assert gini_index(one_hot).item() == pytest.approx(0.9375, abs=1e-9)
    assert gini_index(uniform).item() == pytest.approx(0, abs=1e-9)
    assert normalised_entropy(one_hot).item() == pytest.approx(0, abs=1e-9)
    assert normalised_entropy(uniform).item() == pytest.approx(1, abs=1e-9)


def test_the_positive_part_of_map_v_has_the_known_entropy(map_v, score):
    nats = mass_entropy(map_v.clamp_min(0)).item()
    assert nats == pytest.approx(1.9109142716, abs=1e-9)
    assert nats / math.log(2) == pytest.approx(2.7568665, abs=1e-7)
    assert score("entropy", map_v).values.item() == pytest.approx(nats / math.log(16), abs=1e-9)


def test_entropy_equals_its_definition_in_loops():
    maps = torch.rand(1, 1, 5, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    total = maps.sum().item()
    slow = -sum(v / total * math.log(v / total) for v in maps.flatten().tolist())
    assert mass_entropy(maps).item() == pytest.approx(slow, abs=1e-9)


def test_the_absolute_presets_count_negative_entries(map_v, score):
    for name, function in (("sparseness", gini_index), ("entropy", normalised_entropy)):
        value = score(f"{name}/absolute", map_v).values.item()
        assert value == pytest.approx(function(map_v.abs()).item(), abs=1e-9)
        assert value != pytest.approx(score(f"{name}/positive", map_v).values.item(), abs=1e-3)


@pytest.mark.parametrize("key", KEYS)
def test_a_map_of_which_nothing_is_left_has_no_score(key, score):
    scored = score(key, torch.stack([torch.zeros(4, 4), -torch.arange(1.0, 17).reshape(4, 4)])[None])
    assert math.isnan(scored.values[0, 0])
    assert scored.status[0][0] is Status.ZERO_MAP
    if key.endswith("positive"):
        assert math.isnan(scored.values[0, 1])
        assert scored.status[0][1] is Status.ZERO_MAP
    else:
        assert math.isfinite(scored.values[0, 1])
        assert scored.status[0][1] is Status.OK
