from __future__ import annotations

import math

import pytest
import torch

from bcos_eval.metrics import Status, get_metric
from bcos_eval.seeding import derived_generator, image_key

SIDE = 12
METRICS = ("pixel_deletion", "pixel_insertion")
KEYS = [f"{metric}/{preset}" for metric in METRICS for preset in ("controlled", "normalised")]


@pytest.fixture
def images():
    return torch.rand(2, 3, SIDE, SIDE, generator=torch.Generator().manual_seed(1), dtype=torch.float64)


@pytest.fixture
def maps():
    return torch.randn(2, 3, SIDE, SIDE, generator=torch.Generator().manual_seed(2), dtype=torch.float64)


@pytest.fixture
def predict(linear_sigmoid):
    return linear_sigmoid(torch.randn(3, SIDE, SIDE, generator=torch.Generator().manual_seed(3)).double() / SIDE)


@pytest.mark.parametrize("metric", METRICS)
def test_scores_are_those_of_the_default_and_over_the_intact_images_probability(
    metric, images, maps, predict, score
):
    plain = score(metric, maps, images=images, predict=predict)
    controlled = score(f"{metric}/controlled", maps, images=images, predict=predict)
    normalised = score(f"{metric}/normalised", maps, images=images, predict=predict)
    assert torch.equal(controlled.values, plain.values)
    assert torch.equal(controlled.curves, plain.curves)
    intact = predict.probability(predict.logits(predict.encode(images)))[:, :1].double()
    torch.testing.assert_close(normalised.values, plain.values / intact, rtol=0, atol=1e-12)


@pytest.mark.parametrize("metric", METRICS)
def test_the_chance_level_is_the_mean_score_of_maps_in_ten_random_orders(metric, images, maps, predict, score):
    chance = score(f"{metric}/controlled", maps, images=images, predict=predict, seed=5).chance
    for b, image in enumerate(images):
        generator = derived_generator(5, "random orders", image_key(image))
        orders = [torch.randperm(SIDE**2, generator=generator) for _ in range(10)]
        # The first pixel of an order gets the largest value.
        ranks = torch.stack([-order.argsort().double().reshape(SIDE, SIDE) for order in orders])
        values = score(metric, ranks[None], images=images[b : b + 1], predict=predict).values
        torch.testing.assert_close(chance[b], values.mean(1).expand(3), rtol=0, atol=1e-12)


def test_every_map_of_an_image_has_the_same_chance_whatever_the_batch(images, maps, predict, score):
    key = "pixel_deletion/controlled"
    together = score(key, maps, images=images, predict=predict).chance
    alone = score(key, -maps[1:, :1], images=images[1:], predict=predict).chance
    assert torch.equal(together[1:, :1], alone)
    assert not torch.equal(score(key, maps, images=images, predict=predict, seed=1).chance, together)


def test_random_maps_score_the_chance_level(images, predict, score):
    noise = torch.randn(2, 200, SIDE, SIDE, generator=torch.Generator().manual_seed(7), dtype=torch.float64)
    scored = score("pixel_deletion/controlled", noise, images=images, predict=predict)
    errors = scored.values - scored.chance
    # The chance level is itself the mean of ten draws.
    spread = scored.values.std(1) * math.sqrt(1 / 200 + 1 / 10)
    assert (errors.mean(1).abs() < 4 * spread).all()


def test_an_image_that_the_network_gives_no_probability_is_skipped(images, maps, linear_sigmoid, score):
    weights = torch.full((3, SIDE, SIDE), -1.0, dtype=torch.float64)
    scored = score("pixel_deletion/normalised", maps, images=images, predict=linear_sigmoid(weights))
    assert scored.values.isnan().all()
    assert set(sum(scored.status, ())) == {Status.SKIPPED}


@pytest.mark.parametrize("key", KEYS)
def test_edge_cases_are_those_of_the_default(key, images, predict, score):
    zero, constant, broken = torch.zeros(SIDE, SIDE), torch.ones(SIDE, SIDE), torch.ones(SIDE, SIDE)
    broken[0, 0] = torch.nan
    maps = torch.stack([zero, constant, broken])[None].double()
    scored = score(key, maps, images=images[:1], predict=predict)
    assert scored.status == ((Status.ZERO_MAP, Status.CONSTANT_MAP, Status.NONFINITE),)
    assert scored.values.isnan().tolist() == [[True, False, True]]


def test_the_directions_and_ranges():
    assert [get_metric(key).info.direction for key in KEYS] == ["lower", "lower", "higher", "higher"]
    assert [get_metric(key).info.high for key in KEYS] == [1, math.inf, 1, math.inf]
