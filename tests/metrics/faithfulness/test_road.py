from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from bcos_eval.metrics import Status, linear_imputation
from bcos_eval.metrics.faithfulness.road import PERCENTS, road_pictures

SIDE = 6


def _picture(seed, n_targets=2):
    generator = torch.Generator().manual_seed(seed)
    images = torch.rand(1, 3, SIDE, SIDE, generator=generator, dtype=torch.float64)
    weights = torch.randn(3, SIDE, SIDE, generator=generator, dtype=torch.float64)
    maps = torch.randn(1, n_targets, SIDE, SIDE, generator=generator, dtype=torch.float64)
    return images, weights, maps


def _slow_curve(image, weights, a, *, sign, most):
    """The target's probabilities from the definition; the noise is read off the implementation's pictures."""
    order = sorted(range(SIDE * SIDE), key=lambda p: (-a.flatten()[p] if most else a.flatten()[p], p))
    pictures = road_pictures(image, torch.tensor(order), seed=0)
    curve = []
    for picture, percent in zip(pictures, PERCENTS, strict=True):
        removed = torch.zeros(SIDE * SIDE, dtype=torch.bool)
        removed[order[: round(percent / 100 * SIDE * SIDE)]] = True
        removed = removed.reshape(SIDE, SIDE)
        clean = linear_imputation(image, removed)
        assert torch.equal(picture[:, ~removed], image[:, ~removed])
        assert (picture - clean)[:, removed].abs().max() < 0.05
        curve.append(1 / (1 + math.exp(-sign * (picture * weights).sum().item())))
    return curve


def test_curves_and_scores_equal_the_definition_in_loops(score, linear_sigmoid):
    images, weights, maps = _picture(0)
    predict, targets = linear_sigmoid(weights), torch.tensor([[0, 1]])
    scored = {
        preset: score(f"road/{preset}", maps, images=images, targets=targets, predict=predict)
        for preset in ("default", "most", "least")
    }
    for k, sign in enumerate((1, -1)):
        most, least = (
            _slow_curve(images[0], weights, maps[0, k], sign=sign, most=direction) for direction in (True, False)
        )
        np.testing.assert_allclose(scored["most"].curves[0, k], most, rtol=0, atol=1e-9)
        np.testing.assert_allclose(scored["least"].curves[0, k], least, rtol=0, atol=1e-9)
        np.testing.assert_allclose(scored["default"].curves[0, k], least + most, rtol=0, atol=1e-9)
        assert scored["most"].values[0, k].item() == pytest.approx(np.mean(most), abs=1e-9)
        assert scored["least"].values[0, k].item() == pytest.approx(np.mean(least), abs=1e-9)
        expected = (np.mean(least) - np.mean(most)) / 2
        assert scored["default"].values[0, k].item() == pytest.approx(expected, abs=1e-9)


def test_a_network_that_looks_away_scores_zero(score, linear_sigmoid):
    images, weights, maps = _picture(1)
    scored = score("road", maps, images=images, predict=linear_sigmoid(weights * 0))
    assert scored.values.tolist() == [[0.0, 0.0]]
    assert (scored.curves == 0.5).all()


def test_the_accuracy_counts_where_the_target_wins(score, linear_sigmoid):
    images, weights, maps = _picture(2)
    predict = linear_sigmoid(weights)
    probabilities = score("road", maps, images=images, predict=predict).curves
    hits = score("road/accuracy", maps, images=images, predict=predict)
    assert torch.equal(hits.curves, (probabilities > 0.5).double())
    least, most = hits.curves.split(len(PERCENTS), -1)
    torch.testing.assert_close(hits.values, (least.mean(-1) - most.mean(-1)) / 2, rtol=0, atol=1e-9)


def test_the_noise_belongs_to_image_and_percentage_and_not_to_the_order():
    images, _, _ = _picture(3)
    forward = torch.arange(SIDE * SIDE)
    noise = []
    for order in (forward, forward.flip(0)):
        for picture, percent in zip(road_pictures(images[0], order), PERCENTS, strict=True):
            removed = torch.zeros(SIDE * SIDE, dtype=torch.bool)
            removed[order[: round(percent / 100 * SIDE * SIDE)]] = True
            here = removed.reshape(SIDE, SIDE)
            noise.append((picture - linear_imputation(images[0], here)) / here)
    noise = torch.stack(noise).unflatten(0, (2, len(PERCENTS)))
    both = noise.isfinite().all(0)  # removed in either order
    torch.testing.assert_close(noise[0][both], noise[1][both], rtol=0, atol=1e-9)
    assert both[-1].sum() > 2 * SIDE * SIDE
    assert (noise[0, 7] - noise[0, 8]).abs().nan_to_num(0, 0, 0).max() > 1e-3


def test_the_noise_has_a_deviation_of_a_hundredth_and_follows_the_seed():
    image = torch.full((3, 64, 64), 0.5, dtype=torch.float64)
    order = torch.arange(64 * 64)
    picture, other = (road_pictures(image, order, seed=seed)[-1] for seed in (0, 1))
    removed = (picture - 0.5)[:, :57]
    assert removed.std().item() == pytest.approx(0.01, rel=0.05)
    assert abs(removed.mean().item()) < 5 * 0.01 / removed.numel() ** 0.5
    assert not torch.equal(picture, other)
    channels = removed.flatten(1)
    assert abs(torch.corrcoef(channels)[0, 1].item()) < 0.1


def test_a_zero_map_has_no_score_and_no_curve(score, linear_sigmoid):
    images, weights, maps = _picture(4)
    scored = score("road", torch.zeros_like(maps), images=images, predict=linear_sigmoid(weights))
    assert scored.values.isnan().all()
    assert scored.curves.isnan().all()
    assert scored.status == ((Status.ZERO_MAP,) * 2,)


def test_pixels_of_a_constant_map_go_in_reading_order_where_the_index_decides(score, linear_sigmoid):
    images, weights, maps = _picture(5)
    falling = -torch.arange(SIDE * SIDE, dtype=torch.float64).reshape(1, 1, SIDE, SIDE).expand_as(maps)
    predict = linear_sigmoid(weights)
    constant = score("road/most", torch.ones_like(maps), images=images, predict=predict, ties="index")
    reading_order = score("road/most", falling, images=images, predict=predict)
    assert constant.status == ((Status.CONSTANT_MAP,) * 2,)
    torch.testing.assert_close(constant.curves, reading_order.curves, rtol=0, atol=1e-9)


def test_random_orders_sit_at_chance(score, linear_sigmoid):
    images, weights, _ = _picture(6)
    maps = torch.randn(1, 20, SIDE, SIDE, generator=torch.Generator().manual_seed(7))
    values = score("road", maps, images=images, predict=linear_sigmoid(weights)).values
    assert abs(values.mean()) < 4 * values.std() / 20**0.5


def test_the_true_contributions_beat_their_negative_and_noise(score, linear_sigmoid):
    # One bright pixel in a dark image is the whole evidence: neighbours cannot restore it.
    images = torch.zeros(1, 3, SIDE, SIDE)
    images[..., 2, 3] = 1
    maps = images.mean(1, keepdim=True)
    maps = torch.cat([maps, -maps, torch.rand(maps.shape, generator=torch.Generator().manual_seed(0))], 1)
    weights = torch.full((3, SIDE, SIDE), 2.0)
    best, worst, noise = score("road", maps, images=images, predict=linear_sigmoid(weights)).values[0]
    assert best > noise > worst
