from __future__ import annotations

import math
import re

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from bcos_eval.metrics import Status, pointing_hits
from bcos_eval.metrics.localisation.pointing_game import near_region

PRESETS = ["pointing_game/torchray", "pointing_game/exact"]


def _point(u, v, side=64):
    maps = torch.zeros(1, 1, side, side)
    maps[0, 0, v, u] = 1
    return maps


def _region_40_to_49():
    region = torch.zeros(1, 1, 64, 64, dtype=torch.bool)
    region[..., 40:50, 40:50] = True
    return region


def _slow_near(region, tolerance):
    near = torch.zeros_like(region)
    height, width = region.shape
    for v in range(height):
        for u in range(width):
            for i, j in region.nonzero().tolist():
                if (i - v) ** 2 + (j - u) ** 2 < tolerance**2:
                    near[v, u] = True
    return near


@pytest.mark.parametrize(("u", "v", "hit"), [(25, 45, 0), (26, 45, 1), (29, 30, 1), (29, 29, 0)])
def test_the_tolerance_of_15_pixels_is_strict(u, v, hit, score):
    assert score("pointing_game", _point(u, v), _region_40_to_49()).values.item() == hit


@pytest.mark.parametrize(("u", "v", "hit"), [(40, 40, 1), (49, 45, 1), (39, 45, 0), (50, 45, 0)])
def test_the_exact_preset_accepts_the_region_only(u, v, hit, score):
    assert score("pointing_game/exact", _point(u, v), _region_40_to_49()).values.item() == hit


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 2**31), tolerance=st.sampled_from([0.5, 1.0, 1.2, 1.5, 2.0, 2.3, 5.0]))
def test_the_neighbourhood_equals_the_definition(seed, tolerance):
    region = torch.rand(9, 7, generator=torch.Generator().manual_seed(seed)) < 0.05
    assert torch.equal(near_region(region[None, None], tolerance)[0, 0], _slow_near(region, tolerance))


def test_the_first_of_several_maxima_counts(score):
    maps = torch.zeros(1, 1, 8, 8)
    maps[0, 0, 2, 5] = maps[0, 0, 6, 1] = 1
    first, second = (torch.zeros(1, 1, 8, 8, dtype=torch.bool) for _ in range(2))
    first[0, 0, 2, 5] = second[0, 0, 6, 1] = True
    assert score("pointing_game/exact", maps, first, ties="index").values.item() == 1
    assert score("pointing_game/exact", maps, second, ties="index").values.item() == 0


@pytest.mark.parametrize("key", PRESETS)
def test_a_constant_map_points_at_the_top_left_pixel(key, score):
    corner = torch.zeros(1, 2, 64, 64, dtype=torch.bool)
    corner[0, 0, 0, 0] = corner[0, 1, 60:, 60:] = True
    scored = score(key, torch.full((1, 2, 64, 64), -2.0), corner, ties="index")
    assert scored.values.tolist() == [[1.0, 0.0]]
    assert scored.status == ((Status.CONSTANT_MAP,) * 2,)


def test_a_zero_map_points_at_the_top_left_pixel_for_torchray_and_nowhere_for_exact(score):
    corner = torch.zeros(1, 1, 64, 64, dtype=torch.bool)
    corner[0, 0, 0, 0] = True
    torchray, exact = (score(key, torch.zeros(1, 1, 64, 64), corner, ties="index") for key in PRESETS)
    assert torchray.values.item() == 1
    assert math.isnan(exact.values.item())
    assert torchray.status == exact.status == ((Status.ZERO_MAP,),)


def test_a_map_of_negative_entries_points_at_its_maximum(score):
    maps = _point(45, 45) - 3
    scored = score("pointing_game/exact", maps, _region_40_to_49())
    assert scored.values.item() == 1
    assert scored.status == ((Status.OK,),)


@pytest.mark.parametrize("key", PRESETS)
def test_an_empty_region_is_neither_hit_nor_miss(key, score):
    scored = score(key, _point(3, 4), torch.zeros(1, 1, 64, 64, dtype=torch.bool))
    assert scored.values.isnan().all()
    assert scored.chance.isnan().all()
    assert scored.status == ((Status.EMPTY_REGION,),)


@pytest.mark.parametrize("tolerance", [0.0, -1.0, math.nan])
def test_a_tolerance_that_is_not_positive_is_refused(tolerance, score):
    message = f"tolerance is {tolerance}; give a positive number of pixels, 1 for none."
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        pointing_hits(_point(3, 4), _region_40_to_49(), tolerance)
    remedy = "use a finite number" if math.isnan(tolerance) else "use a number above 0"
    message = f"pointing_game/default.tolerance={tolerance} is not allowed; {remedy}"
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        score("pointing_game", _point(3, 4), tolerance=tolerance)


def test_chance_is_the_share_of_the_points_that_hit(score):
    region = torch.zeros(1, 1, 8, 8, dtype=torch.bool)
    region[0, 0, 4, 4] = True
    chance = score("pointing_game", torch.rand(1, 1, 8, 8), region, tolerance=2.0).chance.item()
    hits = [
        score("pointing_game", _point(u, v, 8), region, tolerance=2.0).values.item()
        for u in range(8)
        for v in range(8)
    ]
    assert chance == sum(hits) / 64 == 9 / 64


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 2**31), tolerance=st.sampled_from([1.0, 2.0, 3.5]))
def test_flipping_map_and_region_together_changes_nothing(seed, tolerance):
    generator = torch.Generator().manual_seed(seed)
    maps = torch.rand(2, 2, 8, 8, generator=generator, dtype=torch.float64)
    regions = torch.rand(2, 2, 8, 8, generator=generator) < 0.1
    values = pointing_hits(maps, regions, tolerance)
    for dims in ([-1], [-2], [-1, -2]):
        torch.testing.assert_close(
            pointing_hits(maps.flip(dims), regions.flip(dims), tolerance), values, equal_nan=True
        )


def test_random_maps_sit_at_chance(score):
    generator = torch.Generator().manual_seed(0)
    maps = torch.rand(2000, 1, 8, 8, generator=generator)
    region = torch.zeros(1, 1, 8, 8, dtype=torch.bool)
    region[0, 0, 2:4, 1:5] = True
    scored = score("pointing_game", maps, region.expand(2000, -1, -1, -1), tolerance=2.0)
    chance = scored.chance[0, 0].item()
    assert abs(scored.values.mean().item() - chance) < 4 * (chance * (1 - chance) / 2000) ** 0.5
