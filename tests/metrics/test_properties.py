"""Properties that every metric has, over the whole registry."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from bcos_eval.metrics import METRICS, get_metric

SIDE = 16
# The top-K intersection ranks 1000 pixels.
TOP_K_SIDE = 40
PURE = sorted(key for key, metric in METRICS.items() if "model" not in metric.info.needs)
LOCALISING = sorted(key for key in PURE if METRICS[key].info.chance == "area")
# Zero-padded smoothing moves mass inwards, so that an interior region holds more than its share of the area.
SMOOTHED = ("energy_pg/how_to_probe", "grid_pg/how_to_probe", "grid_pg/bcosification_strided")
# Imitations of reference code that takes a mass below 1e-7 for none, or adds 1e-12 to it.
SMALLEST_LOG_SCALE = dict.fromkeys(
    (
        "grid_pg/rao2022",
        "grid_pg/aloe_strided",
        "difull/rao2022",
        "dipart/rao2022",
        "energy_pg/model_guidance",
        "energy_pg/how_to_probe",
        "iou/model_guidance",
        "iou/how_to_probe",
    ),
    -6.0,
)
# Its wide average leaves a hundredth of the mass of noise.
SMALLEST_LOG_SCALE["grid_pg/how_to_probe"] = -4.0
N_CHANCE_UNITS = 2000


def _side(key):
    return TOP_K_SIDE if key.startswith("top_k") else SIDE


def _units(key, seed, n_images=2, n_targets=3):
    generator = torch.Generator().manual_seed(seed)
    side = _side(key)
    maps = torch.randn(n_images, n_targets, side, side, generator=generator, dtype=torch.float64)
    images = torch.rand(n_images, 3, side, side, generator=generator, dtype=torch.float64)
    regions = torch.zeros(maps.shape, dtype=torch.bool)
    for b in range(n_images):
        for k in range(n_targets):
            top, left = torch.randint(side // 2, (2,), generator=generator).tolist()
            regions[b, k, top : top + side // 3, left : left + side // 4] = True
    return maps, images, regions


def _score(key, maps, images, regions):
    targets = torch.zeros(maps.shape[:2], dtype=torch.int64)
    return get_metric(key).score(maps, images, targets, regions)


@pytest.mark.parametrize("key", PURE)
@settings(max_examples=8, deadline=None)
@given(seed=st.integers(0, 2**31), log_scale=st.floats(-12, 6))
def test_a_positive_factor_changes_nothing(key, seed, log_scale):
    maps, images, regions = _units(key, seed)
    log_scale = max(log_scale, SMALLEST_LOG_SCALE.get(key, -math.inf))
    scaled = _score(key, 10**log_scale * maps, images, regions)
    expected = _score(key, maps, images, regions)
    torch.testing.assert_close(scaled.values, expected.values, rtol=0, atol=1e-9, equal_nan=True)
    assert scaled.status == expected.status


@pytest.mark.parametrize("key", PURE)
@settings(max_examples=5, deadline=None)
@given(seed=st.integers(0, 2**31), data=st.data())
def test_units_keep_their_scores_in_any_order(key, seed, data):
    maps, images, regions = _units(key, seed, 3, 4)
    order = data.draw(st.permutations(range(3)))
    columns = data.draw(st.permutations(range(4)))
    expected = _score(key, maps, images, regions)
    moved = _score(key, maps[order][:, columns], images[order], regions[order][:, columns])
    torch.testing.assert_close(moved.values, expected.values[order][:, columns], rtol=0, atol=1e-9, equal_nan=True)
    torch.testing.assert_close(moved.chance, expected.chance[order][:, columns], rtol=0, atol=1e-9, equal_nan=True)


# The published code leaves out the last row and column of a box.
@pytest.mark.parametrize("axes", [(-1,), (-2,), (-2, -1)])
@pytest.mark.parametrize("key", [key for key in PURE if key != "iou/how_to_probe"])
def test_a_mirrored_unit_has_the_score_of_the_unit(key, axes):
    maps, images, regions = _units(key, 0)
    expected = _score(key, maps, images, regions)
    mirrored = _score(key, maps.flip(axes), images.flip(axes), regions.flip(axes))
    torch.testing.assert_close(mirrored.values, expected.values, rtol=0, atol=1e-9, equal_nan=True)


@pytest.mark.parametrize("key", PURE)
@settings(max_examples=10, deadline=None)
@given(seed=st.integers(0, 2**31), n_levels=st.integers(1, 4))
def test_maps_with_many_ties_score_within_the_range_or_not_at_all(key, seed, n_levels):
    maps, images, regions = _units(key, seed)
    scored = _score(key, (maps * n_levels).round() / n_levels, images, regions)
    info = METRICS[key].info
    values = scored.values[~scored.values.isnan()]
    assert ((values >= info.low) & (values <= info.high)).all()


@pytest.mark.parametrize("key", [key for key in LOCALISING if key not in SMOOTHED])
def test_the_mean_of_random_maps_is_the_chance_level(key):
    info = METRICS[key].info
    side, per_image = _side(key), 50
    generator = torch.Generator().manual_seed(5)
    values = []
    for part in range(N_CHANCE_UNITS // per_image):
        _, images, regions = _units(key, part, 1, per_image)
        # Positive, as the control `random` is.
        maps = torch.rand(1, per_image, side, side, generator=generator, dtype=torch.float64)
        scored = _score(key, maps, images, regions)
        values.append(scored.values - scored.chance)
    excess = torch.cat(values).flatten()
    assert info.chance == "area"
    assert len(excess) == N_CHANCE_UNITS
    assert abs(excess.mean()) < 4 * excess.std() / math.sqrt(N_CHANCE_UNITS)


@pytest.mark.parametrize("key", LOCALISING)
def test_the_region_itself_is_the_best_map(key):
    maps, images, regions = _units(key, 1)
    info = METRICS[key].info
    best = _score(key, regions.double(), images, regions).values
    noise = _score(key, maps, images, regions).values
    assert (best >= noise.nan_to_num(0)).all()
    if key in SMOOTHED:
        return
    # A signed mass ratio has no upper end, 1 is all mass inside; of the top 1000 pixels only the region's can hit.
    top = {"relevance_mass/signed": 1.0, "top_k/default": (TOP_K_SIDE // 3) * (TOP_K_SIDE // 4) / 1000}
    torch.testing.assert_close(best, torch.full_like(best, top.get(key, info.high)), rtol=0, atol=1e-9)
