from __future__ import annotations

import pytest
import torch

from bcos_eval.metrics import Status, box_iou, thresholded_iou


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


def _slow_box_iou(image, region, threshold, smoothing):
    height, width = image.shape
    radius = smoothing // 2
    smoothed = {}
    for i in range(height):
        for j in range(width):
            near = [
                float(image[r, c])
                for r in range(max(i - radius, 0), min(i + radius + 1, height))
                for c in range(max(j - radius, 0), min(j + radius + 1, width))
            ]
            smoothed[i, j] = max(sum(near) / smoothing**2, 0)
    low, high = min(smoothed.values()), max(smoothed.values())
    high_ones = [place for place, value in smoothed.items() if (value - low) / (1e-12 + high - low) >= threshold]
    inside = {tuple(p) for p in region.nonzero().tolist()}
    predicted = _box_of(high_ones) if high_ones else {(0, 0)}
    return round(len(predicted & inside) / len(predicted | inside), 2)


def _box_of(places):
    # Slices end before the last row and column.
    rows, columns = [row for row, _ in places], [column for _, column in places]
    return {(i, j) for i in range(min(rows), max(rows)) for j in range(min(columns), max(columns))}


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize(("threshold", "smoothing"), [(0.3, 5), (0.6, 3), (0.8, 1)])
def test_the_iou_of_boxes_equals_the_definition_in_loops(seed, threshold, smoothing):
    generator = torch.Generator().manual_seed(seed)
    maps = torch.randn(1, 1, 9, 11, generator=generator, dtype=torch.float64)
    region = torch.rand(1, 1, 9, 11, generator=generator) < 0.1
    expected = _slow_box_iou(maps[0, 0], region[0, 0], threshold, smoothing)
    assert box_iou(maps, region, threshold, smoothing).item() == pytest.approx(expected, abs=1e-9)


def test_a_box_one_pixel_larger_than_the_object_scores_one(score):
    region = torch.zeros(1, 1, 20, 20, dtype=torch.bool)
    region[0, 0, 5:12, 4:11] = True
    maps = torch.zeros(1, 1, 20, 20)
    for k in range(8):
        maps[0, 0, 5 + k, 4 + k] = maps[0, 0, 12 - k, 4 + k] = 1
    scored = score("iou/how_to_probe", maps, region, smoothing=1)
    assert scored.values.item() == 1
    assert scored.status == ((Status.OK,),)


def test_two_boxes_are_taken_as_their_union_and_not_as_what_spans_both():
    region = torch.zeros(1, 1, 20, 20, dtype=torch.bool)
    region[0, 0, 2:5, 2:5] = region[0, 0, 10:16, 10:18] = True
    maps = torch.zeros(1, 1, 20, 20)
    maps[0, 0, 10:17, 10:19] = 1
    assert box_iou(maps, region, smoothing=1).item() == round(48 / 57, 2)


def test_a_map_without_high_pixels_has_the_top_left_pixel_as_its_box(score):
    maps = torch.stack([torch.zeros(8, 8), -torch.rand(8, 8), torch.rand(8, 8)])[None]
    regions = torch.zeros(1, 3, 8, 8, dtype=torch.bool)
    regions[0, :2, :2, :2] = True
    scored = score("iou/how_to_probe", maps, regions)
    assert scored.values[0, :2].tolist() == [0.25, 0.25]
    assert scored.values[0, 2].isnan()
    assert scored.status == ((Status.ZERO_MAP, Status.ZERO_MAP, Status.EMPTY_REGION),)


def test_a_single_high_pixel_has_no_box():
    maps = torch.zeros(1, 1, 8, 8)
    maps[0, 0, 3, 4] = 1
    assert box_iou(maps, maps > 0, smoothing=1).item() == 0
