"""Equal entries: drawn in an order that belongs to image and seed, counted, at chance where all are equal."""

from __future__ import annotations

import pytest
import torch

from bcos_eval.contract.metric import Batch
from bcos_eval.metrics import METRICS
from bcos_eval.metrics.ranking import least_first, most_first, pixel_order, tied_share

SIDE = 32
WITH_TIES = sorted(key for key, metric in METRICS.items() if "ties" in metric.info.defaults)
WITH_CHANCE = sorted(key for key, metric in METRICS.items() if metric.info.chance is not None)


def _batch(maps, n_images=2, seed=0):
    images = torch.rand(n_images, 3, SIDE, SIDE, generator=torch.Generator().manual_seed(1))
    targets = torch.zeros(maps.shape[:2], dtype=torch.int64)
    return Batch(maps, images, targets, torch.ones(maps.shape, dtype=torch.bool), seed=seed)


def _blocks(n_images=2):
    generator = torch.Generator().manual_seed(2)
    coarse = torch.randint(0, 5, (n_images, 3, 8, 8), generator=generator).double()
    return coarse.repeat_interleave(4, 2).repeat_interleave(4, 3)


@pytest.mark.parametrize("first", ["most", "least"])
def test_a_drawn_order_is_an_order(first):
    maps = _blocks()
    order = pixel_order(_batch(maps), first, "random")
    assert torch.equal(order.sort(-1).values, torch.arange(SIDE**2).expand_as(order))
    along = maps.flatten(2).gather(-1, order).diff(dim=-1)
    assert ((along <= 0) if first == "most" else (along >= 0)).all()


def test_without_ties_both_orders_are_the_same():
    maps = torch.randn(2, 3, SIDE, SIDE, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
    assert torch.equal(pixel_order(_batch(maps), "most", "random"), most_first(maps))
    assert torch.equal(pixel_order(_batch(maps), "least", "random"), least_first(maps))


def test_a_drawn_order_belongs_to_image_and_seed_and_not_to_target_or_batch():
    constant = torch.ones(2, 3, SIDE, SIDE, dtype=torch.float64)
    whole = pixel_order(_batch(constant), "most", "random")
    assert torch.equal(whole[0, 0], whole[0, 2])
    assert not torch.equal(whole[0, 0], whole[1, 0])
    assert torch.equal(pixel_order(_batch(constant[:1], 1), "most", "random")[0], whole[0])
    assert not torch.equal(pixel_order(_batch(constant, seed=1), "most", "random"), whole)


def test_the_least_first_order_is_the_reverse_of_the_most_first_one():
    batch = _batch(_blocks())
    assert torch.equal(pixel_order(batch, "most", "random"), pixel_order(batch, "least", "random").flip(-1))


def test_the_share_of_ties_counts_pixels_that_have_an_equal():
    maps = torch.tensor([[[[1.0, 2.0], [2.0, 3.0]], [[0.0, -0.0], [0.0, 0.0]], [[1.0, 2.0], [3.0, 4.0]]]])
    assert tied_share(maps).tolist() == [[0.5, 1.0, 0.0]]


@pytest.mark.parametrize("key", WITH_TIES)
def test_a_metric_that_orders_pixels_says_how_many_are_tied(key, score, linear_sigmoid):
    maps = torch.randn(1, 2, SIDE, SIDE, generator=torch.Generator().manual_seed(4))
    maps[0, 1, :16] = 3
    regions = torch.zeros(1, 2, SIDE, SIDE, dtype=torch.bool)
    regions[..., :9, :9] = True
    scored = score(key, maps, regions, predict=linear_sigmoid(torch.ones(3, SIDE, SIDE) / 500))
    assert scored.tied.tolist() == [[0.0, 0.5]]


@pytest.mark.parametrize("key", WITH_CHANCE)
def test_a_uniform_map_sits_at_chance(key, score, linear_sigmoid):
    generator = torch.Generator().manual_seed(5)
    n_images = 60 if METRICS[key].info.name == "pointing_game" else 8
    images = torch.rand(n_images, 3, SIDE, SIDE, generator=generator)
    regions = torch.zeros(n_images, 1, SIDE, SIDE, dtype=torch.bool)
    # Not where row-major order begins, nor where it ends.
    regions[:, :, 12:20, 4:26] = True
    weights = torch.randn(3, SIDE, SIDE, generator=generator) / 20
    params = {"ties": "random"} if "ties" in METRICS[key].info.defaults else {}
    params |= {"smoothing": 1} if "smoothing" in METRICS[key].info.defaults else {}
    maps = torch.full(regions.shape, 0.5)
    scored = score(key, maps, regions, images=images, predict=linear_sigmoid(weights), **params)
    if scored.values.isnan().all():
        # What correlates has no score for a constant map; nothing pretends to be one.
        assert all(status == "constant_map" for row in scored.status for status in row)
        return
    excess = (scored.values - scored.chance).flatten()
    tolerance = max(4 * float(excess.std()) / n_images**0.5, 1e-9)
    if key == "energy_pg/how_to_probe":
        tolerance = 0.05  # smoothed by five pixels and rounded to two decimals
    assert abs(float(excess.mean())) <= tolerance
