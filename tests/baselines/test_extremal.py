from __future__ import annotations

import math
import re

import pytest
import torch
from torch import nn
from torchvision.transforms.v2.functional import gaussian_blur

from bcos_eval.baselines import EXPLAINERS
from bcos_eval.baselines.extremal import SmoothMasks, _blended, _pyramid
from bcos_eval.errors import InputError

EXTREMAL = EXPLAINERS["extremal"]


class SquareDetector(nn.Module):
    """Logits are the contrast inside two squares: class 0 top left, class 1 bottom right."""

    def encode(self, images):
        return images

    def forward(self, x):
        squares = x[..., 4:16, 4:16], x[..., 28:40, 28:40]
        return torch.stack([100 * square.var((1, 2, 3)) for square in squares], 1)


@pytest.fixture
def noise():
    return torch.rand(1, 3, 48, 48, generator=torch.Generator().manual_seed(0))


def test_the_mask_of_a_class_covers_what_the_class_looks_at(noise):
    area = 144 / 48**2
    maps = EXTREMAL(
        SquareDetector(), noise, torch.tensor([[0, 1]]), areas=f"{2 * area:.4f}", n_steps=100, step=4, sigma=6.0
    )[0]
    squares = torch.zeros(2, 48, 48)
    squares[0, 4:16, 4:16] = squares[1, 28:40, 28:40] = 1
    inside = (maps * squares).sum((1, 2)) / 144
    outside = (maps * (1 - squares)).sum((1, 2)) / (48**2 - 144)
    assert (inside > 0.8).all()
    assert (outside < 0.2).all()


@pytest.mark.parametrize("area", [0.1, 0.3, 0.6])
def test_the_mask_covers_the_area_it_was_given(noise, area):
    maps = EXTREMAL(SquareDetector(), noise, torch.tensor([[0]]), areas=str(area), n_steps=200, step=4, sigma=6.0)
    assert maps.min() >= 0
    assert maps.max() <= 1
    assert maps.mean().item() == pytest.approx(area, abs=0.05)


def test_several_areas_give_the_mean_of_their_masks(noise):
    options = {"n_steps": 5, "step": 4, "sigma": 6.0}
    one, two, both = (
        EXTREMAL(SquareDetector(), noise, torch.tensor([[1]]), areas=areas, **options)
        for areas in ("0.1", "0.4", "0.1,0.4")
    )
    torch.testing.assert_close(both, (one + two) / 2)


def test_the_smooth_maximum_equals_its_definition():
    masks = SmoothMasks((20, 24), 4, 6.0)
    parameters = torch.rand(1, 1, *masks.shape, generator=torch.Generator().manual_seed(0))
    coarse = masks.coarse(parameters)[0, 0]
    for i in range(5):
        for j in range(6):
            values = []
            for di in range(-3, 4):  # neighbours beyond the border count as zeros
                for dj in range(-3, 4):
                    inside = 0 <= i + di < 5 and 0 <= j + dj < 6
                    value = parameters[0, 0, i + di, j + dj].item() if inside else 0.0
                    distance = math.hypot(di, dj) * 4 / 6
                    values.append(value * math.exp(-2 * max(0.0, distance - 0.5) ** 2))
            weights = [math.exp(20 * value) for value in values]
            expected = sum(w * v for w, v in zip(weights, values, strict=True)) / sum(weights)
            assert coarse[i, j].item() == pytest.approx(expected, abs=1e-5)


def test_a_full_mask_shows_the_image_and_an_empty_one_its_strongest_blur(noise):
    pyramid = _pyramid(noise[0])
    assert torch.equal(_blended(pyramid, torch.ones(1, 1, 48, 48))[0], noise[0])
    torch.testing.assert_close(_blended(pyramid, torch.zeros(1, 1, 48, 48))[0], pyramid[0])
    # Inside, away from the border that torchvision mirrors.
    large = torch.rand(3, 150, 150, generator=torch.Generator().manual_seed(1))
    expected = gaussian_blur(large, [121, 121], [20.0, 20.0])
    torch.testing.assert_close(_pyramid(large)[0][:, 70:80, 70:80], expected[:, 70:80, 70:80], rtol=0, atol=1e-5)


@pytest.mark.parametrize("areas", ["", "0", "1", "0.1,x", "-0.2"])
def test_areas_that_are_no_shares_are_refused(noise, areas):
    message = f"extremal.areas={areas} is not allowed; use numbers between 0 and 1, such as 0.05,0.1,0.2"
    with pytest.raises(InputError, match=f"^{re.escape(message)}$"):
        EXTREMAL(SquareDetector(), noise, torch.tensor([[0]]), areas=areas)


def test_a_number_of_steps_that_is_not_positive_is_refused(noise):
    with pytest.raises(InputError, match=r"^extremal\.n_steps=0 is not allowed; use 1 or more$"):
        EXTREMAL(SquareDetector(), noise, torch.tensor([[0]]), n_steps=0)
