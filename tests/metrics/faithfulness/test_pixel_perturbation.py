from __future__ import annotations

import re

import numpy as np
import pytest
import torch

from bcos_eval.metrics import Status, coda_counts
from bcos_eval.metrics.faithfulness.perturbation import (
    Perturbation,
    encoded_probability,
    normalised_area,
    perturbation_curves,
)
from bcos_eval.metrics.ranking import least_first, most_first


class InverseEncoded:
    """A toy with six-channel input `[x, 1 − x]` and three classes."""

    def __init__(self, side):
        generator = torch.Generator().manual_seed(0)
        self.weights = torch.randn(3, 6 * side * side, generator=generator, dtype=torch.float64) / side

    def encode(self, images):
        return torch.cat([images, 1 - images], dim=1).double()

    def logits(self, encoded):
        return encoded.flatten(1) @ self.weights.T

    def probability(self, logits):
        return logits.sigmoid()


def _reference_curve(predict, image, target, attribution, *, most=False):
    """The published procedure in loops: all masks after each removed pixel, then every stride-th of them."""
    height, width = attribution.shape
    order = np.argsort(attribution.numpy().flatten(), kind="stable")
    if most:
        order = order[::-1]
    n_removed = int(0.25 * height * width)
    stride = n_removed // 128
    mask, curve = torch.ones(height, width), []
    for index in range(n_removed + 1):
        if index % stride == 0:
            masked = predict.encode(image[None]) * mask
            curve.append(predict.probability(predict.logits(masked))[0, target])
        if index < n_removed:
            i, j = np.unravel_index(order[index], (height, width))
            mask[i, j] = 0
    return torch.stack(curve)


@pytest.mark.parametrize(("side", "stride"), [(224, 98), (32, 2), (64, 8)])
def test_a_quarter_of_the_pixels_goes_in_128_steps(side, stride):
    counts = coda_counts(side * side)
    assert len(counts) == 129
    assert counts[:2] == (0, stride)
    assert counts[-1] == side * side // 4


def test_below_512_pixels_every_pixel_is_a_step():
    assert coda_counts(16) == (0, 1, 2, 3, 4)


def test_where_512_does_not_divide_the_pixels_there_are_a_few_more_points():
    assert coda_counts(72 * 72) == tuple(range(0, 1297, 10))


def test_an_image_without_a_quarter_is_refused():
    message = "an image of 3 pixels has no quarter to remove; give at least 4 pixels."
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        coda_counts(3)


@pytest.mark.parametrize("preset", ["coda", "coda_most"])
def test_the_curve_equals_the_published_procedure_in_loops(preset, score):
    predict = InverseEncoded(32)
    generator = torch.Generator().manual_seed(1)
    images = torch.rand(2, 3, 32, 32, generator=generator)
    maps = torch.randn(2, 2, 32, 32, generator=generator)
    targets = torch.tensor([[0, 2], [1, 0]])
    scored = score(f"pixel_perturbation/{preset}", maps, images=images, targets=targets, predict=predict)
    assert scored.curves.shape == (2, 2, 129)
    for b in range(2):
        for k in range(2):
            curve = _reference_curve(predict, images[b], targets[b, k], maps[b, k], most=preset == "coda_most")
            torch.testing.assert_close(scored.curves[b, k], curve, rtol=0, atol=1e-9)
            area = np.trapezoid(curve.numpy(), dx=1 / 128)
            assert scored.values[b, k].item() == pytest.approx(area, abs=1e-9)
    assert scored.chance.isnan().all()


@pytest.mark.parametrize(
    ("order_of", "order", "curve"),
    [
        (least_first, [1, 0, 3, 2], [0.851952802, 0.904650535, 0.880797078, 0.817574476, 0.5]),
        (most_first, [2, 3, 0, 1], [0.851952802, 0.562176501, 0.437823499, 0.377540669, 0.5]),
    ],
    ids=["least first", "most first"],
)
def test_the_worked_example_of_four_pixels(order_of, order, curve, linear_sigmoid):
    picture = torch.tensor([[1.0, 2], [3, 4]], dtype=torch.float64)[None, None] / 4
    weights = torch.tensor([[1.0, -1], [2, 0.5]], dtype=torch.float64)
    pixels = order_of(weights * picture)
    assert pixels[0, 0].tolist() == order
    example = Perturbation(picture, torch.zeros_like(picture), pixels, range(5))
    curves = perturbation_curves(
        example,
        torch.zeros(1, 1, dtype=torch.int64),
        probability=encoded_probability(linear_sigmoid(weights)),
        batch_size=3,
    )
    assert curves[0, 0].tolist() == pytest.approx(curve, abs=1e-9)
    if order_of is most_first:
        assert normalised_area(curves).item() == pytest.approx(0.5133792674, abs=1e-9)
        assert curves.mean().item() == pytest.approx(0.5458986942, abs=1e-9)
        assert normalised_area(curves).item() * 4 == pytest.approx(2.0535170698, abs=1e-9)


def test_a_map_that_knows_the_weights_beats_its_negative(score, linear_sigmoid):
    generator = torch.Generator().manual_seed(2)
    images = torch.rand(1, 3, 32, 32, generator=generator)
    weights = torch.randn(3, 32, 32, generator=generator) / 100
    contribution = (images * weights).sum(1, keepdim=True)
    predict = linear_sigmoid(weights)
    good, bad = (
        score("pixel_perturbation", sign * contribution, images=images, predict=predict).values.item()
        for sign in (1, -1)
    )
    assert good > bad


def test_a_zero_map_gives_no_order_and_so_no_score(score):
    scored = score("pixel_perturbation", torch.zeros(1, 1, 8, 8), predict=InverseEncoded(8))
    assert scored.values.isnan().all()
    assert scored.curves.isnan().all()
    assert scored.status == ((Status.ZERO_MAP,),)


def test_a_constant_map_loses_its_pixels_in_reading_order_where_the_index_decides(score):
    generator = torch.Generator().manual_seed(3)
    images = torch.rand(1, 3, 32, 32, generator=generator)
    predict = InverseEncoded(32)
    constant = score("pixel_perturbation/coda", torch.full((1, 1, 32, 32), 0.7), images=images, predict=predict)
    ramp = torch.arange(32.0 * 32).reshape(1, 1, 32, 32)
    reading_order = score("pixel_perturbation/coda", ramp, images=images, predict=predict)
    torch.testing.assert_close(constant.curves, reading_order.curves, rtol=0, atol=1e-9)
    assert constant.status == ((Status.CONSTANT_MAP,),)


@pytest.mark.parametrize("batch_size", [1, 32])
def test_the_batch_size_does_not_change_the_score(batch_size, score):
    generator = torch.Generator().manual_seed(4)
    images = torch.rand(1, 3, 16, 16, generator=generator)
    maps = torch.randn(1, 2, 16, 16, generator=generator)
    values = [
        score("pixel_perturbation", maps, images=images, predict=InverseEncoded(16), batch_size=size).values
        for size in (batch_size, 64)
    ]
    torch.testing.assert_close(values[0], values[1], rtol=0, atol=1e-9)
