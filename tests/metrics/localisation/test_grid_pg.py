from __future__ import annotations

import re

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from bcos_eval.errors import InputError
from bcos_eval.metrics import Status, get_metric, grid_pointing_game

BCOS_PRESETS = ["grid_pg/bcos_v2", "grid_pg/bcos_v2_blockwise"]
PRESETS = [*BCOS_PRESETS, "grid_pg/rao2022"]
# The same score of maps that were made in another way.
FIXED_SIZE_PRESETS = ["grid_pg/rescaled", "grid_pg/bcosification_strided", "grid_pg/aloe_strided"]
ALL_PRESETS = [*PRESETS, *FIXED_SIZE_PRESETS, "grid_pg/how_to_probe"]


def _cells(n, side):
    """Regions `(1, n², n·side, n·side)` of a grid, row-major."""
    regions = torch.zeros(1, n * n, n * side, n * side, dtype=torch.bool)
    for k in range(n * n):
        i, j = divmod(k, n)
        regions[0, k, i * side : (i + 1) * side, j * side : (j + 1) * side] = True
    return regions


def _slow_share(image, region):
    inside = total = 0.0
    for i in range(image.shape[0]):
        for j in range(image.shape[1]):
            positive = max(float(image[i, j]), 0.0)
            total += positive
            inside += positive if region[i, j] else 0.0
    return inside / total if total > 0 else 0.0


@pytest.mark.parametrize("key", ALL_PRESETS)
def test_map_v_scores_the_shares_worked_out_by_hand(key, map_v, score):
    expected = torch.tensor([[10, 3, 3, 8]]).double() / 24
    values = score(key, map_v.expand(1, 4, 4, 4), _cells(2, 2), smoothing=1).values
    torch.testing.assert_close(values, expected, rtol=0, atol=1e-9)


def test_smoothing_comes_before_the_clamp(map_v, score):
    values = score("grid_pg", map_v.expand(1, 4, 4, 4), _cells(2, 2), smoothing=3).values
    expected = torch.tensor([[0.3548387097, 0.2043010753, 0.2043010753, 0.2365591398]], dtype=torch.float64)
    torch.testing.assert_close(values, expected, rtol=0, atol=1e-9)


def test_zero_padding_moves_the_mass_of_a_uniform_map_inward(score):
    values = score("grid_pg", torch.ones(1, 9, 6, 6), _cells(3, 2), smoothing=3).values[0]
    corner, edge, centre = (4 / 9 + 2 * 6 / 9 + 1) / (256 / 9), (2 * 6 / 9 + 2) / (256 / 9), 4 / (256 / 9)
    expected = torch.tensor([corner, edge, corner, edge, centre, edge, corner, edge, corner], dtype=torch.float64)
    torch.testing.assert_close(values, expected, rtol=0, atol=1e-9)
    assert values[:2].tolist() == pytest.approx([0.0976562, 0.1171875], abs=1e-7)
    assert values[4] == pytest.approx(0.1406250, abs=1e-9)


def test_smoothing_of_a_full_size_grid_gives_the_known_shares(score):
    maps = torch.ones(1, 1, 672, 672).expand(1, 2, 672, 672)
    values = score("grid_pg", maps, _cells(3, 224)[:, [0, 4]], smoothing=15).values[0]
    assert values.tolist() == pytest.approx([0.11049, 0.11236], abs=5e-6)


@pytest.mark.parametrize("key", PRESETS)
def test_a_uniform_map_scores_the_area_of_the_cell_and_is_marked(key, score):
    scored = score(key, torch.full((1, 9, 6, 6), 0.1), _cells(3, 2))
    torch.testing.assert_close(scored.values, torch.full((1, 9), 1 / 9, dtype=torch.float64), rtol=0, atol=1e-9)
    torch.testing.assert_close(scored.chance, scored.values, rtol=0, atol=1e-9)
    assert scored.status == ((Status.CONSTANT_MAP,) * 9,)


@pytest.mark.parametrize("key", PRESETS)
def test_an_oracle_map_scores_one(key, score):
    cells = _cells(3, 2)
    assert score(key, cells.float(), cells).values.tolist() == [[1.0] * 9]


@pytest.mark.parametrize("key", ALL_PRESETS)
def test_a_map_without_positive_entries_scores_zero_with_a_status(key, score):
    maps = torch.stack([torch.zeros(4, 4), -torch.rand(4, 4)])[None]
    scored = score(key, maps, _cells(2, 2)[:, :2])
    assert scored.values.tolist() == [[0.0, 0.0]]
    assert scored.status == ((Status.ZERO_MAP, Status.ZERO_MAP),)


def test_rao_calls_a_positive_sum_up_to_its_threshold_zero(score):
    maps = torch.zeros(1, 2, 4, 4, dtype=torch.float64)
    maps[0, 0, 0, 0] = 1e-7
    maps[0, 1, 0, 0] = 1.01e-7
    cells = _cells(2, 2)[:, [0, 0]]
    rao = score("grid_pg/rao2022", maps, cells)
    assert rao.values.tolist() == [[0.0, 1.0]]
    assert rao.status == ((Status.ZERO_MAP, Status.OK),)
    assert score("grid_pg/bcos_v2", maps, cells).values.tolist() == [[1.0, 1.0]]


@pytest.mark.parametrize("key", ALL_PRESETS)
def test_an_empty_region_has_no_score(key, map_v, score):
    scored = score(key, map_v, torch.zeros(1, 1, 4, 4, dtype=torch.bool))
    assert scored.values.isnan().all()
    assert scored.chance.isnan().all()
    assert scored.status == ((Status.EMPTY_REGION,),)


def test_a_hole_outside_the_cell_makes_the_score_nan_too(map_v):
    for hole in (float("inf"), float("-inf"), float("nan")):
        maps = map_v.clone()
        maps[0, 0, 3, 3] = hole
        assert grid_pointing_game(maps, _cells(2, 2)[:, :1]).isnan().all()


def test_a_cell_of_one_pixel_scores_its_share(map_v):
    region = torch.zeros(1, 1, 4, 4, dtype=torch.bool)
    region[0, 0, 1, 1] = True
    assert grid_pointing_game(map_v, region).item() == pytest.approx(6 / 24, abs=1e-9)


@pytest.mark.parametrize("key", PRESETS)
def test_a_preset_names_how_its_grids_are_drawn(key):
    info = get_metric(key).info
    assert info.stimulus == "grid"
    assert info.defaults == {"n": 3, "smoothing": 1, "rule": info.preset}


@pytest.mark.parametrize(
    ("key", "defaults", "view"),
    [
        ("grid_pg/rescaled", {"n": 2, "smoothing": 1, "rule": "bcos_v2"}, "rescaled"),
        ("grid_pg/bcosification_strided", {"n": 2, "smoothing": 15, "rule": "bcos_v2"}, "strided_padded"),
        ("grid_pg/aloe_strided", {"n": 2, "smoothing": 1, "rule": "aloe"}, "strided"),
        ("grid_pg/how_to_probe", {"n": 3, "smoothing": 5, "filter": "average", "rule": "how_to_probe"}, "plain"),
    ],
)
def test_presets_of_other_suites_have_their_published_parameters(key, defaults, view):
    info = get_metric(key).info
    assert (info.defaults, info.view) == (defaults, view)


def test_aloe_shares_the_threshold_of_rao_and_the_b_cos_presets_do_not(score):
    maps = torch.zeros(1, 1, 4, 4, dtype=torch.float64)
    maps[0, 0, 0, 0] = 1e-7
    scores = {key: score(key, maps, _cells(2, 2)[:, :1], smoothing=1).values.item() for key in FIXED_SIZE_PRESETS}
    assert scores == {
        "grid_pg/rescaled": 1.0,
        "grid_pg/bcosification_strided": 1.0,
        "grid_pg/aloe_strided": 0.0,
    }


def _slow_how_to_probe(image, region):
    """The mean of 5×5 pixels, zeros beyond the border, clamped, and 1e-12 in the denominator."""
    padded = torch.nn.functional.pad(image, [2] * 4)
    inside = total = 0.0
    for i in range(image.shape[0]):
        for j in range(image.shape[1]):
            positive = max(float(padded[i : i + 5, j : j + 5].sum()) / 25, 0.0)
            total += positive
            inside += positive if region[i, j] else 0.0
    return inside / (total + 1e-12)


def test_how_to_probe_equals_its_definition_in_loops(score):
    maps = torch.randn(1, 4, 12, 12, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
    values = score("grid_pg/how_to_probe", maps, _cells(2, 6)).values[0]
    expected = [_slow_how_to_probe(maps[0, k], _cells(2, 6)[0, k]) for k in range(4)]
    assert values.tolist() == pytest.approx(expected, abs=1e-9)


def test_how_to_probe_blurs_maps_of_input_times_gradient_by_its_gaussian(score):
    maps = torch.randn(1, 4, 80, 80, generator=torch.Generator().manual_seed(4), dtype=torch.float64)
    sigma, radius = (0, 0, 32.25, 32.25), (0, 0, 64, 64)
    blurred = torch.from_numpy(ndimage.gaussian_filter(maps.numpy(), sigma, mode="mirror", radius=radius))
    expected = score("grid_pg/bcos_v2", blurred, _cells(2, 40)).values
    values = score("grid_pg/how_to_probe", maps, _cells(2, 40), filter="gaussian").values
    # The blur leaves a mass of about 1, next to which 1e-12 in the denominator is nothing.
    torch.testing.assert_close(values, expected, rtol=0, atol=1e-9)


def test_an_unknown_filter_is_refused(map_v, score):
    message = "grid_pg/how_to_probe.filter=median is not allowed; use average or gaussian"
    with pytest.raises(InputError, match=f"^{re.escape(message)}$"):
        score("grid_pg/how_to_probe", map_v, _cells(2, 2)[:, :1], filter="median")


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 2**31), smoothing=st.sampled_from([1, 3, 5]), log_scale=st.floats(-6, 6))
def test_scaling_flipping_and_batching_change_nothing(seed, smoothing, log_scale):
    generator = torch.Generator().manual_seed(seed)
    maps = torch.randn(2, 4, 6, 6, generator=generator, dtype=torch.float64)
    regions = _cells(2, 3).expand(2, -1, -1, -1)
    values = grid_pointing_game(maps, regions, smoothing)
    for other in (
        grid_pointing_game(maps * 10**log_scale, regions, smoothing),
        grid_pointing_game(maps.flip(-1), regions.flip(-1), smoothing),
        grid_pointing_game(maps.flip(-2), regions.flip(-2), smoothing),
        grid_pointing_game(maps.mT, regions.mT, smoothing),
        torch.cat([grid_pointing_game(m[None], r[None], smoothing) for m, r in zip(maps, regions, strict=True)]),
    ):
        torch.testing.assert_close(other, values, rtol=0, atol=1e-9)
    if smoothing == 1:
        slow = [
            [_slow_share(m, r) for m, r in zip(*pair, strict=True)] for pair in zip(maps, regions, strict=True)
        ]
        torch.testing.assert_close(values, torch.tensor(slow, dtype=torch.float64), rtol=0, atol=1e-9)


def test_random_maps_sit_at_chance():
    maps = torch.randn(500, 4, 8, 8, generator=torch.Generator().manual_seed(0))
    values = grid_pointing_game(maps, _cells(2, 4).expand(500, -1, -1, -1))
    standard_error = values.std() / values.numel() ** 0.5
    assert abs(values.mean() - 0.25) < 4 * standard_error
