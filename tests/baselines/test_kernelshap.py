"""KernelSHAP against Shapley values computed from their definition."""

from __future__ import annotations

import itertools
import math

import pytest
import torch

from bcos_eval.baselines import EXPLAINERS
from bcos_eval.baselines.kernelshap import coalitions, shapley_regression
from bcos_eval.baselines.lime import mean_colours, superpixels
from bcos_eval.errors import InputError


def generator():
    return torch.Generator().manual_seed(2)


def shapley_values(game, n_players):
    """Average each player's gain over all orders, written as the sum over coalitions."""
    values = []
    for player in range(n_players):
        others = [p for p in range(n_players) if p != player]
        total = 0.0
        for size in range(n_players):
            chance = math.factorial(size) * math.factorial(n_players - size - 1) / math.factorial(n_players)
            for coalition in itertools.combinations(others, size):
                total += chance * (game({*coalition, player}) - game(set(coalition)))
        values.append(total)
    return torch.tensor(values, dtype=torch.float64)


@pytest.mark.parametrize("n_players", [1, 2, 3, 5])
def test_with_all_coalitions_the_values_are_exact(n_players):
    table = torch.rand(2**n_players, generator=generator(), dtype=torch.float64)

    def game(coalition):
        return table[sum(2**player for player in coalition)].item()

    keep, weights = coalitions(n_players, 2**n_players, generator())
    members = [set(row.nonzero().flatten().tolist()) for row in keep]
    values = torch.tensor([[game(each)] for each in members], dtype=torch.float64)
    torch.testing.assert_close(
        shapley_regression(keep, weights, values)[0], shapley_values(game, n_players), rtol=0, atol=1e-9
    )


def test_an_additive_game_is_recovered_from_a_sample():
    truth = torch.randn(12, 2, generator=generator(), dtype=torch.float64)
    keep, weights = coalitions(12, 100, generator())
    assert len(keep) == 102
    values = 3 + keep.double() @ truth
    torch.testing.assert_close(shapley_regression(keep, weights, values), truth.T, rtol=0, atol=1e-9)


def test_sizes_are_drawn_in_proportion_to_the_shapley_kernel():
    keep, _ = coalitions(20, 20_000, generator())
    counts = keep[2:].sum(1).bincount(minlength=21).double() / 20_000
    sizes = torch.arange(1, 20).double()
    expected = 1 / (sizes * (20 - sizes))
    assert counts[0] == counts[20] == 0
    torch.testing.assert_close(counts[1:20], expected / expected.sum(), rtol=0, atol=0.015)
    # Given its size, a coalition holds every player with the same chance.
    torch.testing.assert_close(
        keep[2:].double().mean(0), torch.full((20,), 0.5, dtype=torch.float64), rtol=0, atol=0.02
    )


def test_values_of_an_image_sum_to_the_logit_minus_the_logit_without_superpixels(standard, images, targets):
    params = {"n_samples": 30, "kernel_size": 1}
    maps = EXPLAINERS["kernelshap"](standard, images, targets, **params)
    for b in range(3):
        encoded = standard.encode(images[b : b + 1])[0]
        segments = superpixels(encoded, images[b], kernel_size=1)
        empty = mean_colours(encoded, segments)
        difference = (standard(encoded[None]) - standard(empty[None]))[0, targets[b]].detach()
        first = [(segments == s).nonzero()[0] for s in range(int(segments.max()) + 1)]
        total = sum(maps[b, :, row, column] for row, column in first)
        torch.testing.assert_close(total, difference, rtol=1e-4, atol=1e-5)


def test_no_sample_is_refused(standard, images, targets):
    with pytest.raises(InputError, match=r"^kernelshap\.n_samples=0 is not allowed; use 1 or more$"):
        EXPLAINERS["kernelshap"](standard, images, targets, n_samples=0)
