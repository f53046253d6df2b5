from __future__ import annotations

import pytest
import torch

from bcos_eval.metrics import Status, focus_score


def cells(*chosen, side=2):
    region = torch.zeros(1, 1, 2 * side, 2 * side, dtype=torch.bool)
    for row, column in chosen:
        region[..., row * side : (row + 1) * side, column * side : (column + 1) * side] = True
    return region


def test_map_v_scores_the_positive_share_of_two_cells(map_v):
    # Positive sums of the cells of V: 10, 3, 3, 8.
    assert focus_score(map_v, cells((0, 0), (1, 1))).item() == pytest.approx(18 / 24, abs=1e-9)
    assert focus_score(map_v, cells((0, 1), (1, 0))).item() == pytest.approx(6 / 24, abs=1e-9)


def test_a_map_of_the_target_scores_one_and_a_uniform_map_one_half(score):
    region = cells((0, 1), (1, 1))
    assert score("focus", region.float(), region).values.item() == 1
    uniform = score("focus", torch.full((1, 1, 4, 4), 0.2), region)
    assert uniform.values.item() == pytest.approx(0.5, abs=1e-9)
    assert uniform.chance.item() == 0.5
    assert uniform.status == ((Status.CONSTANT_MAP,),)


def test_a_map_without_positive_entries_scores_zero_with_a_status(score):
    scored = score("focus", -torch.rand(1, 1, 4, 4), cells((0, 0), (0, 1)))
    assert scored.values.item() == 0
    assert scored.status == ((Status.ZERO_MAP,),)


def test_a_map_that_is_not_finite_has_no_score(map_v, score):
    map_v[..., 3, 0] = torch.nan
    scored = score("focus", map_v, cells((0, 0), (0, 1)))
    assert scored.values.isnan().all()
    assert scored.status == ((Status.NONFINITE,),)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("places", [(1, 1, 0, 0), (0, 1, 1, 0), (1, 0, 1, 0), (0, 0, 1, 1)])
def test_it_equals_quantus(places):
    quantus = pytest.importorskip("quantus")
    maps = torch.randn(1, 1, 8, 8, generator=torch.Generator().manual_seed(sum(places)), dtype=torch.float64)
    metric = quantus.Focus(disable_warnings=True, normalise=False)
    (expected,) = metric.evaluate_batch(a_batch=maps.numpy(), c_batch=[places])
    region = cells(*[divmod(k, 2) for k in range(4) if places[k]], side=4)
    # Quantus adds 1e-9 to the sum.
    assert focus_score(maps, region).item() == pytest.approx(float(expected), abs=1e-9)
