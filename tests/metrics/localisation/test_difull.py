from __future__ import annotations

import pytest
import torch

from bcos_eval.metrics import Status, get_metric

BOTH = ["difull", "dipart"]


def _corners(side=2):
    """Regions `(1, 2, 2·side, 2·side)` of the top left and the bottom right cell of a 2×2 grid."""
    regions = torch.zeros(1, 2, 2 * side, 2 * side, dtype=torch.bool)
    regions[0, 0, :side, :side] = regions[0, 1, side:, side:] = True
    return regions


@pytest.mark.parametrize("key", BOTH)
def test_map_v_scores_the_shares_of_its_two_corner_cells(key, map_v, score):
    scored = score(key, map_v.expand(1, 2, 4, 4), _corners())
    torch.testing.assert_close(scored.values, torch.tensor([[10, 8]]).double() / 24, rtol=0, atol=1e-9)
    assert scored.chance.tolist() == [[0.25, 0.25]]


@pytest.mark.parametrize("key", BOTH)
def test_a_map_that_stays_in_its_cell_scores_one(key, score):
    assert score(key, _corners().float(), _corners()).values.tolist() == [[1.0, 1.0]]


@pytest.mark.parametrize("key", BOTH)
def test_a_sum_up_to_the_threshold_of_rao_counts_as_none(key, score):
    maps = torch.zeros(1, 2, 4, 4, dtype=torch.float64)
    maps[0, 0, 0, 0], maps[0, 1, 3, 3] = 1e-7, 1.01e-7
    scored = score(key, maps, _corners())
    assert scored.values.tolist() == [[0.0, 1.0]]
    assert scored.status == ((Status.ZERO_MAP, Status.OK),)


@pytest.mark.parametrize("key", BOTH)
def test_a_map_that_is_not_finite_has_no_score(key, map_v, score):
    maps = map_v.clone()
    maps[0, 0, 3, 3] = torch.nan
    scored = score(key, maps, _corners()[:, :1])
    assert scored.values.isnan().all()
    assert scored.status == ((Status.NONFINITE,),)


@pytest.mark.parametrize("key", BOTH)
def test_a_metric_names_the_view_and_the_grids_it_is_measured_on(key):
    info = get_metric(key).info
    assert (info.stimulus, info.view) == ("grid", key)
    assert info.defaults == {"n": 3, "smoothing": 1, "rule": "rao2022"}
