from __future__ import annotations

import re

import pytest
import torch
from scipy import stats

from bcos_eval.metrics import Status, linear_correlation
from bcos_eval.metrics.faithfulness.random_removal import random_cells

SIDE = 32


def _picture(seed, n_targets=2):
    generator = torch.Generator().manual_seed(seed)
    images = torch.rand(1, 3, SIDE, SIDE, generator=generator, dtype=torch.float64)
    weights = torch.randn(3, SIDE, SIDE, generator=generator, dtype=torch.float64)
    maps = torch.randn(1, n_targets, SIDE, SIDE, generator=generator, dtype=torch.float64)
    return images, weights, maps


def test_the_contributions_of_a_linear_model_score_one_and_their_negative_minus_one(score, linear_sigmoid):
    images, weights, _ = _picture(0)
    contribution = (images * weights).sum(1, keepdim=True)
    maps = torch.cat([contribution, -3 * contribution], 1)
    scored = score("faithfulness_correlation", maps, images=images, predict=linear_sigmoid(weights))
    assert scored.values[0].tolist() == pytest.approx([1, -1], abs=1e-9)
    assert scored.chance.tolist() == [[0.0, 0.0]]


def test_the_image_is_the_perfect_map_of_a_model_that_sums_its_input(score, linear_sigmoid):
    images, weights, _ = _picture(1)
    predict = linear_sigmoid(torch.ones_like(weights))
    maps = images.sum(1, keepdim=True)
    assert score("faithfulness_correlation", maps, images=images, predict=predict).values.item() == pytest.approx(
        1
    )


def test_the_score_equals_the_definition_in_loops(score, linear_sigmoid):
    images, weights, maps = _picture(2)
    predict, targets = linear_sigmoid(weights), torch.tensor([[0, 1]])
    scored = score("faithfulness_correlation", maps, images=images, targets=targets, predict=predict, n_samples=20)
    removed = random_cells(images[0], n_samples=20)
    for k in range(2):
        sums, drops = [], []
        for pixels in removed:
            without = images.clone()
            without[:, :, pixels] = 0
            before, after = (predict.logits(x)[0, targets[0, k]].item() for x in (images, without))
            sums.append(maps[0, k][pixels].sum().item())
            drops.append(before - after)
        assert scored.values[0, k].item() == pytest.approx(stats.pearsonr(sums, drops).statistic, abs=1e-9)


@pytest.mark.parametrize("scale", [1.0, 1e-200, 1e150])
def test_the_correlation_equals_scipys_at_any_scale(scale):
    generator = torch.Generator().manual_seed(3)
    first, second = torch.randn(2, 50, generator=generator, dtype=torch.float64)
    expected = stats.pearsonr(first.numpy(), second.numpy()).statistic
    assert linear_correlation(scale * first, second).item() == pytest.approx(expected, abs=1e-9)


def test_equal_values_have_no_correlation_also_with_rounding():
    values = torch.linspace(0, 1, 10, dtype=torch.float64)
    rounded = torch.full((10,), 0.3, dtype=torch.float64)
    rounded[::2] += 1e-16
    assert linear_correlation(rounded, values).isnan()
    assert linear_correlation(values, torch.zeros(10)).isnan()


def test_sets_are_whole_cells_and_a_fifth_of_them():
    images, _, _ = _picture(4)
    removed = random_cells(images[0], n_samples=30)
    cells = removed.unflatten(2, (16, 2)).unflatten(1, (16, 2)).permute(0, 1, 3, 2, 4).flatten(3)
    assert torch.equal(cells.all(-1), cells.any(-1))
    assert (cells.all(-1).sum((1, 2)) == 51).all()
    assert random_cells(images[0], n_samples=200).any(0).all()
    assert torch.equal(removed, random_cells(images[0], n_samples=30))
    assert not torch.equal(removed, random_cells(images[0], n_samples=30, seed=1))


def test_cells_of_a_small_image_are_its_pixels_and_uneven_ones_cover_the_image():
    assert (random_cells(torch.rand(3, 5, 4), n_samples=9).sum((1, 2)) == 4).all()
    assert random_cells(torch.rand(3, 37, 50), n_samples=200).any(0).all()


def test_equal_sums_or_equal_drops_have_no_correlation(score, linear_sigmoid):
    images, weights, maps = _picture(5)
    alternating = torch.tensor([0.1, -0.1]).repeat(SIDE * SIDE // 2).reshape(1, 1, SIDE, SIDE)
    equal_sums = score("faithfulness_correlation", alternating, images=images, predict=linear_sigmoid(weights))
    equal_drops = score(
        "faithfulness_correlation", maps[:, :1], images=images, predict=linear_sigmoid(weights * 0)
    )
    for scored in (equal_sums, equal_drops):
        assert scored.values.isnan().all()
        assert scored.status == ((Status.CONSTANT_MAP,),)


def test_a_zero_map_has_no_score(score, linear_sigmoid):
    images, weights, maps = _picture(6)
    scored = score("faithfulness_correlation", 0 * maps, images=images, predict=linear_sigmoid(weights))
    assert scored.values.isnan().all()
    assert scored.status == ((Status.ZERO_MAP,) * 2,)


def test_random_maps_sit_at_chance(score, linear_sigmoid):
    # Units share sets of cells, so that they are correlated through them: many sets and a generous interval.
    images, weights, _ = _picture(7)
    maps = torch.randn(1, 2000, SIDE, SIDE, generator=torch.Generator().manual_seed(8))
    values = score("faithfulness_correlation", maps, images=images, predict=linear_sigmoid(weights)).values
    assert abs(values.mean()) < 4 * values.std() / 2000**0.5


def test_one_set_is_refused(map_v, score, linear_sigmoid):
    message = "faithfulness_correlation/superpixels.n_samples=1 is not allowed; use 2 or more"
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        score("faithfulness_correlation", map_v, predict=linear_sigmoid(torch.ones(3, 4, 4)), n_samples=1)
