"""Relevance rank, relevance mass, top-K and AUC on the shared map V and its edge cases."""

from __future__ import annotations

import itertools
import re

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from bcos_eval.metrics import (
    Status,
    region_auc,
    relevance_mass_accuracy,
    relevance_rank_accuracy,
    top_k_intersection,
)

NEED_AN_ORDER = ["relevance_rank", "top_k", "auc"]


@pytest.fixture
def corner():
    region = torch.zeros(1, 1, 4, 4, dtype=torch.bool)
    region[..., :2, :2] = True
    return region


def _params(key):
    return {"k": 3} if key == "top_k" else {}


@pytest.mark.parametrize(
    ("key", "expected"),
    [
        ("relevance_rank", 1 / 2),
        ("top_k", 2 / 3),
        ("relevance_mass/signed", 8 / 14),
        ("relevance_mass/absolute", 12 / 34),
        ("energy_pg", 10 / 24),
        ("auc", 0.6145833333333334),
    ],
)
def test_map_v_scores_what_was_worked_out_by_hand(key, expected, map_v, corner, score):
    scored = score(key, map_v, corner, **_params(key))
    assert scored.values.item() == pytest.approx(expected, abs=1e-9)
    assert scored.status == ((Status.OK,),)
    assert scored.chance.item() == (0.5 if key == "auc" else 0.25)


def _slow_scores(entries, inside, k):
    order = sorted(range(len(entries)), key=lambda p: (-entries[p], p))
    size = sum(inside)
    rank = sum(inside[p] for p in order[:size]) / size
    top = sum(inside[p] for p in order[:k]) / k
    pairs = [
        (a, b)
        for a, i in zip(entries, inside, strict=True)
        if i
        for b, j in zip(entries, inside, strict=True)
        if not j
    ]
    auc = sum(1.0 if a > b else 0.5 if a == b else 0.0 for a, b in pairs) / len(pairs)
    return rank, top, auc


@settings(max_examples=60, deadline=None)
@given(
    entries=st.lists(st.integers(-3, 3), min_size=9, max_size=9).filter(any),
    inside=st.lists(st.booleans(), min_size=9, max_size=9).filter(lambda v: any(v) and not all(v)),
    k=st.integers(1, 9),
)
def test_rank_scores_equal_their_definitions_in_loops_on_maps_with_ties(entries, inside, k):
    maps = torch.tensor(entries, dtype=torch.float64).reshape(1, 1, 3, 3)
    region = torch.tensor(inside).reshape(1, 1, 3, 3)
    rank, top, auc = _slow_scores(entries, inside, k)
    assert relevance_rank_accuracy(maps, region, "index").item() == pytest.approx(rank, abs=1e-9)
    assert top_k_intersection(maps, region, k, "index").item() == pytest.approx(top, abs=1e-9)
    assert region_auc(maps, region).item() == pytest.approx(auc, abs=1e-9)


@settings(max_examples=20, deadline=None)
@given(
    entries=st.lists(st.integers(-1, 1), min_size=5, max_size=5).filter(any),
    inside=st.lists(st.booleans(), min_size=5, max_size=5).filter(lambda v: any(v) and not all(v)),
    k=st.integers(1, 5),
)
def test_drawn_ties_count_by_their_mean_over_all_orders_of_the_pixels(entries, inside, k):
    # Where the pixels stand decides the index order, and nothing else: over all places, all orders of ties.
    ranks, tops = [], []
    for places in itertools.permutations(range(5)):
        rank, top, _ = _slow_scores([entries[p] for p in places], [inside[p] for p in places], k)
        ranks.append(rank)
        tops.append(top)
    maps = torch.tensor(entries, dtype=torch.float64).reshape(1, 1, 1, 5)
    region = torch.tensor(inside).reshape(1, 1, 1, 5)
    assert relevance_rank_accuracy(maps, region).item() == pytest.approx(sum(ranks) / len(ranks), abs=1e-9)
    assert top_k_intersection(maps, region, k).item() == pytest.approx(sum(tops) / len(tops), abs=1e-9)


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 2**31))
def test_flipping_map_and_region_together_changes_nothing_without_ties(seed):
    generator = torch.Generator().manual_seed(seed)
    maps = torch.rand(2, 2, 6, 6, generator=generator, dtype=torch.float64)
    regions = torch.rand(2, 2, 6, 6, generator=generator) < 0.3
    for function in (
        relevance_rank_accuracy,
        relevance_mass_accuracy,
        region_auc,
        lambda m, r: top_k_intersection(m, r, 7),
    ):
        for dims in ([-1], [-2]):
            torch.testing.assert_close(
                function(maps.flip(dims), regions.flip(dims)),
                function(maps, regions),
                rtol=0,
                atol=1e-9,
                equal_nan=True,
            )


@pytest.mark.parametrize("key", NEED_AN_ORDER)
def test_a_zero_map_has_no_order_and_no_score(key, corner, score):
    scored = score(key, torch.zeros(1, 1, 4, 4), corner, **_params(key))
    assert scored.values.isnan().all()
    assert scored.status == ((Status.ZERO_MAP,),)


@pytest.mark.parametrize("key", ["relevance_mass/signed", "relevance_mass/absolute"])
def test_a_zero_map_has_no_mass_inside(key, corner, score):
    scored = score(key, torch.zeros(1, 1, 4, 4), corner)
    assert scored.values.item() == 0
    assert scored.status == ((Status.ZERO_MAP,),)


def test_a_signed_map_that_cancels_has_no_mass_score(corner, score):
    maps = torch.zeros(1, 1, 4, 4)
    maps[0, 0, 0, 0], maps[0, 0, 3, 3] = 1, -1
    scored = score("relevance_mass/signed", maps, corner)
    assert scored.values.isnan().all()
    assert scored.status == ((Status.ZERO_MAP,),)
    assert score("relevance_mass/absolute", maps, corner).values.item() == 0.5


def test_a_signed_map_can_leave_the_unit_interval(corner):
    maps = torch.full((1, 1, 4, 4), -0.25)
    maps[..., :2, :2] = 1
    assert relevance_mass_accuracy(maps, corner).item() == pytest.approx(4 / (4 - 3), abs=1e-9)


@pytest.mark.parametrize(
    ("key", "params", "expected"),
    [
        ("relevance_rank", {"ties": "index"}, 0.5),
        ("relevance_rank", {}, 0.25),
        ("top_k", {"ties": "index"}, 2 / 3),
        ("top_k", {}, 0.25),
        ("auc", {}, 0.5),
        ("relevance_mass/signed", {}, 0.25),
    ],
)
def test_a_constant_map_scores_by_area_or_by_reading_order(key, params, expected, corner, score):
    scored = score(key, torch.full((1, 1, 4, 4), -0.5), corner, **_params(key), **params)
    assert scored.values.item() == pytest.approx(expected, abs=1e-9)
    assert scored.status == ((Status.CONSTANT_MAP,),)


@pytest.mark.parametrize("key", [*NEED_AN_ORDER, "relevance_mass/signed", "relevance_mass/absolute"])
def test_an_empty_region_has_no_score(key, map_v, score):
    scored = score(key, map_v, torch.zeros(1, 1, 4, 4, dtype=torch.bool), **_params(key))
    assert scored.values.isnan().all()
    assert scored.status == ((Status.EMPTY_REGION,),)


def test_a_region_without_outside_has_no_auc(map_v, score):
    scored = score("auc", map_v)
    assert scored.values.isnan().all()
    assert scored.status == ((Status.SKIPPED,),)


def test_a_region_of_one_pixel_at_the_maximum_is_found(map_v):
    region = map_v == 6
    assert relevance_rank_accuracy(map_v, region).item() == 1
    assert top_k_intersection(map_v, region, 1).item() == 1
    assert region_auc(map_v, region).item() == 1


@pytest.mark.parametrize("k", [0, 17])
def test_a_k_beyond_the_pixels_is_refused(k, map_v, corner):
    message = f"k is {k}; give 1 to 16, the pixels of these maps."
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        top_k_intersection(map_v, corner, k)


@pytest.mark.parametrize("key", [*NEED_AN_ORDER, "relevance_mass/absolute"])
def test_random_maps_sit_at_chance(key, score):
    maps = torch.randn(2000, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    region = torch.zeros(1, 1, 8, 8, dtype=torch.bool)
    region[..., 2:6, 1:4] = True
    scored = score(key, maps, region.expand(2000, -1, -1, -1), **_params(key))
    assert abs(scored.values.mean() - scored.chance[0, 0]) < 4 * scored.values.std() / 2000**0.5
