from __future__ import annotations

import pytest
import torch

from bcos_eval.metrics import Status, energy_pointing_game, get_metric, grid_pointing_game

EXACT_PRESETS = ["energy_pg/default", "energy_pg/model_guidance"]
PRESETS = [*EXACT_PRESETS, "energy_pg/how_to_probe"]


def _box(rows, columns, side=4):
    region = torch.zeros(1, 1, side, side, dtype=torch.bool)
    region[0, 0, rows, columns] = True
    return region


@pytest.mark.parametrize("key", EXACT_PRESETS)
@pytest.mark.parametrize(
    ("region", "expected"),
    [(_box(slice(1, 3), slice(1, 4)), 14 / 24), (_box(slice(1, 4), slice(1, 5)), 17 / 24)],
    ids=["exclusive box", "inclusive box"],
)
def test_map_v_scores_the_share_of_the_box(key, region, expected, map_v, score):
    assert score(key, map_v, region).values.item() == pytest.approx(expected, abs=1e-9)


def test_how_to_probe_smooths_clamps_and_rounds(score):
    maps = torch.randn(20, 1, 9, 9, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    region = _box(slice(0, 4), slice(2, 7), side=9).expand(20, 1, 9, 9)
    values = score("energy_pg/how_to_probe", maps, region).values
    for value, image in zip(values[:, 0], maps[:, 0], strict=True):
        padded = torch.nn.functional.pad(image, (2, 2, 2, 2))
        inside = total = 0.0
        for i in range(9):
            for j in range(9):
                positive = max(float(padded[i : i + 5, j : j + 5].sum()) / 25, 0)
                total += positive
                inside += positive * bool(region[0, 0, i, j])
        assert value.item() == pytest.approx(round(inside / total, 2), abs=1e-9)


@pytest.mark.parametrize("key", PRESETS)
def test_maps_without_positive_entries_score_zero_with_a_status(key, score):
    maps = torch.stack([torch.zeros(4, 4), -torch.rand(4, 4)])[None]
    scored = score(key, maps)
    assert scored.values.tolist() == [[0.0, 0.0]]
    assert scored.status == ((Status.ZERO_MAP, Status.ZERO_MAP),)


def test_model_guidance_calls_a_sum_below_its_threshold_zero(score):
    maps = torch.zeros(1, 2, 4, 4, dtype=torch.float64)
    maps[0, 0, 0, 0] = 0.99e-7
    maps[0, 1, 0, 0] = 1e-7
    scored = score("energy_pg/model_guidance", maps)
    assert scored.values.tolist() == [[0.0, 1.0]]
    assert scored.status == ((Status.ZERO_MAP, Status.OK),)


@pytest.mark.parametrize("key", PRESETS)
def test_an_empty_region_has_no_score(key, map_v, score):
    scored = score(key, map_v, torch.zeros(1, 1, 4, 4, dtype=torch.bool))
    assert scored.values.isnan().all()
    assert scored.status == ((Status.EMPTY_REGION,),)


def test_chance_is_the_share_of_the_area_and_a_uniform_map_reaches_it(score):
    region = _box(slice(1, 3), slice(1, 4))
    scored = score("energy_pg", torch.ones(1, 1, 4, 4), region)
    assert scored.chance.item() == pytest.approx(6 / 16, abs=1e-9)
    assert scored.values.item() == pytest.approx(6 / 16, abs=1e-9)
    assert scored.status == ((Status.CONSTANT_MAP,),)


def test_a_region_of_one_pixel_and_the_whole_image_score_their_shares(map_v):
    assert energy_pointing_game(map_v, _box(0, 0)).item() == pytest.approx(4 / 24, abs=1e-9)
    assert energy_pointing_game(map_v, torch.ones(1, 1, 4, 4, dtype=torch.bool)).item() == 1


def test_it_is_the_grid_pointing_game_on_another_stimulus():
    generator = torch.Generator().manual_seed(0)
    maps = torch.randn(3, 2, 7, 5, generator=generator)
    regions = torch.rand(3, 2, 7, 5, generator=generator) < 0.4
    assert torch.equal(energy_pointing_game(maps, regions, 3), grid_pointing_game(maps, regions, 3))
    assert get_metric("energy_pg").info.stimulus == "single"


def test_random_maps_sit_at_chance():
    generator = torch.Generator().manual_seed(1)
    maps = torch.randn(2000, 1, 8, 8, generator=generator)
    values = energy_pointing_game(maps, _box(slice(1, 5), slice(2, 5), side=8).expand(2000, 1, 8, 8))
    assert abs(values.mean() - 12 / 64) < 4 * values.std() / 2000**0.5
