from __future__ import annotations

import math
import re

import pytest
import torch
from scipy import stats

from bcos_eval.metrics import Status, rank_correlation
from bcos_eval.metrics.faithfulness.single_deletion import cell_sums

SIDE = 8


def _picture(seed):
    generator = torch.Generator().manual_seed(seed)
    images = torch.rand(1, 3, SIDE, SIDE, generator=generator, dtype=torch.float64)
    weights = torch.randn(3, SIDE, SIDE, generator=generator, dtype=torch.float64)
    return images, weights, generator


class Black:
    """Make a toy model take six channels, so that removed cells are black."""

    def __init__(self, weights):
        self.weights = weights

    def encode(self, images):
        return torch.cat([images, 1 - images], dim=1)

    def logits(self, encoded):
        logit = (encoded[:, :3] * self.weights).flatten(1).sum(1)
        return torch.stack([logit, -logit], dim=1)

    def probability(self, logits):
        raise NotImplementedError


def test_the_known_correlation_of_four_cells():
    sums = torch.tensor([3.0, 1.0, 4.0, 1.5])
    drops = torch.tensor([0.2, 0.1, 0.5, -0.1])
    assert rank_correlation(sums, drops).item() == pytest.approx(0.8, abs=1e-9)
    assert math.isnan(rank_correlation(torch.ones(4), drops).item())
    assert math.isnan(rank_correlation(sums, torch.zeros(4)).item())


@pytest.mark.parametrize("seed", range(5))
def test_the_correlation_equals_scipys_on_ties(seed):
    generator = torch.Generator().manual_seed(seed)
    first, second = (torch.randint(0, 5, (16,), generator=generator).double() for _ in range(2))
    expected = stats.spearmanr(first.numpy(), second.numpy()).statistic
    assert rank_correlation(first, second).item() == pytest.approx(expected, abs=1e-9)


def test_cells_are_summed_with_their_signs_in_row_major_order(map_v):
    assert cell_sums(map_v, 2)[0, 0].tolist() == [8.0, 0.0, 2.0, 4.0]


def test_maps_that_do_not_divide_into_cells_are_refused():
    message = "maps of 8×10 do not divide into 4×4 cells; give sides that are multiples of 4."
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        cell_sums(torch.rand(1, 1, 8, 10))


@pytest.mark.parametrize("batch_size", [1, 5, 17, 64])
def test_the_contributions_of_a_linear_model_score_one_and_their_negative_minus_one(batch_size, score):
    images, weights, _ = _picture(0)
    contribution = (images * weights).sum(1, keepdim=True)
    maps = torch.cat([contribution, -contribution], dim=1)
    scored = score("single_deletion", maps, images=images, predict=Black(weights), batch_size=batch_size)
    assert scored.values[0].tolist() == pytest.approx([1, -1], abs=1e-9)
    assert scored.chance.tolist() == [[0.0, 0.0]]


def test_the_score_equals_the_definition_in_loops(score):
    images, weights, generator = _picture(1)
    maps = torch.randn(1, 2, SIDE, SIDE, generator=generator, dtype=torch.float64)
    predict, targets = Black(weights), torch.tensor([[1, 0]])
    scored = score("single_deletion", maps, images=images, targets=targets, predict=predict)
    for k in range(2):
        sums, drops = [], []
        for row in range(0, SIDE, 2):
            for column in range(0, SIDE, 2):
                removed = images.clone()
                removed[..., row : row + 2, column : column + 2] = 0
                before, after = (
                    predict.logits(predict.encode(x))[0, targets[0, k]].item() for x in (images, removed)
                )
                sums.append(maps[0, k, row : row + 2, column : column + 2].sum().item())
                drops.append(before - after)
        assert scored.values[0, k].item() == pytest.approx(stats.spearmanr(sums, drops).statistic, abs=1e-9)


def test_equal_sums_or_equal_drops_have_no_correlation(score):
    images, weights, generator = _picture(2)
    alternating = torch.tensor([1.0, -1.0]).repeat(SIDE * SIDE // 2).reshape(1, 1, SIDE, SIDE)
    equal_sums = score("single_deletion", alternating, images=images, predict=Black(weights))
    random = torch.randn(1, 1, SIDE, SIDE, generator=generator)
    equal_drops = score("single_deletion", random, images=images, predict=Black(weights * 0))
    for scored in (equal_sums, equal_drops):
        assert math.isnan(scored.values.item())
        assert scored.status == ((Status.CONSTANT_MAP,),)


def test_a_zero_map_has_no_score(score):
    images, weights, _ = _picture(3)
    scored = score("single_deletion", torch.zeros(1, 1, SIDE, SIDE), images=images, predict=Black(weights))
    assert math.isnan(scored.values.item())
    assert scored.status == ((Status.ZERO_MAP,),)


def test_random_maps_sit_at_chance(score):
    images, weights, generator = _picture(4)
    maps = torch.randn(1, 2000, SIDE, SIDE, generator=generator)
    scored = score("single_deletion", maps, images=images, predict=Black(weights))
    assert abs(scored.values.mean()) < 4 * scored.values.std() / 2000**0.5
