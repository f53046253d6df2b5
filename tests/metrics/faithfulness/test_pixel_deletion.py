"""Deletion and insertion against loops that replace one pixel after the other."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from bcos_eval.metrics import Status, get_metric
from bcos_eval.metrics.faithfulness.fills import PIXEL_FILLS, rise_blurred
from bcos_eval.metrics.faithfulness.perturbation import equal_counts, stepped_counts

SIDE = 32
N_PIXELS = SIDE * SIDE
PRESET_OF_FILL = {"black": "default", "mean_colour": "mean_colour", "blur": "blur"}


class Standardised:
    """A toy with standardised input, a non-linear logit and two softmax classes."""

    def __init__(self):
        generator = torch.Generator().manual_seed(0)
        self.weights = torch.randn(3, SIDE, SIDE, generator=generator, dtype=torch.float64) / SIDE

    def encode(self, images):
        return (images.double() - 0.45) / 0.22

    def logits(self, encoded):
        total = (encoded * self.weights).flatten(1).sum(1)
        return torch.stack([total, total.cos()], dim=1)

    def probability(self, logits):
        return logits.softmax(-1)


@pytest.fixture
def predict():
    return Standardised()


@pytest.fixture
def images():
    return torch.rand(1, 3, SIDE, SIDE, generator=torch.Generator().manual_seed(1), dtype=torch.float64)


@pytest.fixture
def maps():
    return torch.randn(1, 1, SIDE, SIDE, generator=torch.Generator().manual_seed(2), dtype=torch.float64)


def _slow_curve(start, end, order, counts, probability_of):
    """Replace one pixel after the other and look at the picture at each point."""
    picture, values = start.clone(), []
    for done, pixel in enumerate([*order, None]):
        if done in counts:
            values.append(float(probability_of(picture)[0, 0]))
        if pixel is not None:
            i, j = divmod(int(pixel), SIDE)
            picture[..., i, j] = end[..., i, j]
    return np.array(values)


def _most_first(maps):
    return np.argsort(-maps.flatten().numpy(), kind="stable")


@pytest.mark.parametrize("fill", PIXEL_FILLS)
def test_deletion_and_insertion_equal_the_loop_in_pixel_space(fill, predict, images, maps, score):
    filled = PIXEL_FILLS[fill](images)
    counts = [round(t * N_PIXELS / 50) for t in range(51)]
    for metric, start, end in (("pixel_deletion", images, filled), ("pixel_insertion", filled, images)):
        slow = _slow_curve(
            start, end, _most_first(maps), counts, lambda x: predict.probability(predict.logits(predict.encode(x)))
        )
        scored = score(f"{metric}/{PRESET_OF_FILL[fill]}", maps, images=images, predict=predict)
        np.testing.assert_allclose(scored.curves[0, 0].numpy(), slow, rtol=0, atol=1e-9)
        area = np.trapezoid(slow, np.array(counts) / N_PIXELS)
        assert scored.values.item() == pytest.approx(area, abs=1e-9)


@pytest.mark.parametrize("metric", ["pixel_deletion", "pixel_insertion"])
def test_rise_equals_the_loop_in_encoded_space(metric, predict, images, maps, score):
    encoded = predict.encode(images)
    deletes = metric == "pixel_deletion"
    start, end = (encoded, torch.zeros_like(encoded)) if deletes else (rise_blurred(encoded), encoded)
    slow = _slow_curve(
        start,
        end,
        _most_first(maps),
        [0, 224, 448, 672, 896, 1024],
        lambda x: predict.probability(predict.logits(x)),
    )
    scored = score(f"{metric}/rise", maps, images=images, predict=predict)
    np.testing.assert_allclose(scored.curves[0, 0].numpy(), slow, rtol=0, atol=1e-9)
    assert scored.values.item() == pytest.approx((slow.sum() - slow[0] / 2 - slow[-1] / 2) / 5, abs=1e-9)


@pytest.mark.parametrize("fill", PIXEL_FILLS)
def test_insertion_is_deletion_backwards_so_the_gap_is_their_difference(fill, predict, images, maps, score):
    preset = PRESET_OF_FILL[fill]
    gap = "gap" if preset == "default" else f"gap_{preset}"
    deletion, insertion, difference = (
        score(key, maps, images=images, predict=predict).values.item()
        for key in (f"pixel_deletion/{preset}", f"pixel_insertion/{preset}", f"pixel_deletion/{gap}")
    )
    assert difference == pytest.approx(insertion - deletion, abs=1e-9)


def test_the_directions_are_those_of_the_papers():
    assert get_metric("pixel_deletion").info.direction == "lower"
    assert get_metric("pixel_deletion/gap").info.direction == "higher"
    assert get_metric("pixel_insertion").info.direction == "higher"


def test_an_attribution_that_knows_the_weights_beats_its_negative(linear_sigmoid, images, score):
    weights = torch.randn(3, SIDE, SIDE, generator=torch.Generator().manual_seed(3), dtype=torch.float64) / SIDE
    contribution = (images * weights).sum(1, keepdim=True)
    model = linear_sigmoid(weights)
    for key in ("pixel_deletion", "pixel_insertion", "pixel_deletion/gap"):
        good, bad = (
            score(key, sign * contribution, images=images, predict=model).values.item() for sign in (1, -1)
        )
        assert (good > bad) == (get_metric(key).info.direction == "higher")


def test_a_model_that_ignores_the_image_scores_its_constant(linear_sigmoid, images, maps, score):
    model = linear_sigmoid(torch.zeros(3, SIDE, SIDE, dtype=torch.float64))
    assert score("pixel_deletion", maps, images=images, predict=model).values.item() == pytest.approx(
        0.5, abs=1e-9
    )
    assert score("pixel_deletion/gap", maps, images=images, predict=model).values.item() == pytest.approx(
        0, abs=1e-9
    )


@pytest.mark.parametrize("key", ["pixel_deletion", "pixel_deletion/gap", "pixel_insertion", "pixel_deletion/rise"])
def test_a_zero_map_has_neither_score_nor_curve(key, predict, images, score):
    scored = score(key, torch.zeros(1, 1, SIDE, SIDE), images=images, predict=predict)
    assert math.isnan(scored.values.item())
    assert scored.curves.isnan().all()
    assert scored.status == ((Status.ZERO_MAP,),)


def test_the_points_reach_from_nothing_to_everything():
    assert equal_counts(4096, 50)[::25] == (0, 2048, 4096)
    assert equal_counts(7, 2) == (0, 4, 7)
    assert stepped_counts(10, 4) == (0, 4, 8, 10)
    assert stepped_counts(224 * 224, 224) == tuple(range(0, 224 * 224 + 1, 224))
