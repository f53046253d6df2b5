from __future__ import annotations

import pytest
import torch

from bcos_eval.metrics import Status, thresholded_iou


def _box(rows, columns):
    region = torch.zeros(1, 1, 4, 4, dtype=torch.bool)
    region[0, 0, rows, columns] = True
    return region


def _slow_iou(image, region):
    positive = [max(float(v), 0.0) for v in image.flatten()]
    low, high = min(positive), max(positive)
    chosen = {p for p, v in enumerate(positive) if high > 0 and (v - low) / (high - low) > 0.5}
    inside = {p for p, v in enumerate(region.flatten()) if v}
    return len(chosen & inside) / len(chosen | inside)


def test_map_v_scores_two_sevenths(map_v, score):
    scored = score("iou", map_v, _box(slice(1, 3), slice(1, 4)))
    assert scored.values.item() == pytest.approx(2 / 7, abs=1e-9)
    assert scored.status == ((Status.OK,),)


@pytest.mark.parametrize("seed", range(5))
def test_it_equals_the_definition_in_loops(seed):
    generator = torch.Generator().manual_seed(seed)
    maps = torch.randn(1, 1, 5, 6, generator=generator, dtype=torch.float64) + seed
    region = torch.rand(1, 1, 5, 6, generator=generator) < 0.4
    assert thresholded_iou(maps, region).item() == pytest.approx(_slow_iou(maps[0, 0], region[0, 0]), abs=1e-9)


def test_an_oracle_map_scores_one():
    region = _box(slice(1, 3), slice(0, 2))
    assert thresholded_iou(region.float(), region).item() == 1


def test_a_map_without_positive_entries_scores_zero_with_a_status(score):
    maps = torch.stack([torch.zeros(4, 4), -torch.rand(4, 4)])[None]
    scored = score("iou", maps, _box(0, 0).expand(1, 2, 4, 4))
    assert scored.values.tolist() == [[0.0, 0.0]]
    assert scored.status == ((Status.ZERO_MAP, Status.ZERO_MAP),)


@pytest.mark.parametrize("level", [3.0, 1e-9])
def test_a_constant_map_chooses_everything(level, score):
    scored = score("iou", torch.full((1, 1, 4, 4), level), _box(slice(0, 2), slice(0, 2)))
    assert scored.values.item() == pytest.approx(4 / 16, abs=1e-9)
    assert scored.status == ((Status.CONSTANT_MAP,),)


def test_a_range_below_the_threshold_is_divided_by_the_maximum():
    maps = torch.full((1, 1, 4, 4), 0.4e-7, dtype=torch.float64)
    maps[0, 0, 0, 0] = 1e-7
    region = _box(0, 0)
    assert thresholded_iou(maps, region).item() == 1
    maps[0, 0, 1, 1] = 0.51e-7
    assert thresholded_iou(maps, region).item() == 0.5


def test_an_empty_region_has_no_score(map_v, score):
    scored = score("iou", map_v, torch.zeros(1, 1, 4, 4, dtype=torch.bool))
    assert scored.values.isnan().all()
    assert scored.status == ((Status.EMPTY_REGION,),)


def test_a_region_of_one_pixel_is_met_or_missed(map_v):
    maps = torch.zeros(1, 1, 4, 4)
    maps[0, 0, 2, 1] = 1
    assert thresholded_iou(maps, _box(2, 1)).item() == 1
    assert thresholded_iou(maps, _box(1, 2)).item() == 0
