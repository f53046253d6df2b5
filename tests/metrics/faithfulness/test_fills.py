from __future__ import annotations

import re

import numpy as np
import pytest
import torch
from scipy import ndimage

from bcos_eval.metrics.faithfulness.fills import black, blurred, mean_colour, rgb_zero, rise_blurred


class Encoding:
    """Only the encoding of a model."""

    def __init__(self, encode):
        self.encode = encode


def test_the_mean_colour_is_that_of_imagenet():
    filled = mean_colour(torch.rand(2, 3, 4, 5))
    assert filled.shape == (2, 3, 4, 5)
    assert filled[1, :, 3, 2].tolist() == pytest.approx([0.485, 0.456, 0.406])
    assert not black(filled).any()


def test_the_blur_equals_scipys_gaussian_filter():
    images = torch.rand(1, 3, 30, 40, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    expected = ndimage.gaussian_filter(images[0].numpy(), sigma=(0, 10, 10), mode="mirror", radius=(0, 25, 25))
    np.testing.assert_allclose(blurred(images)[0].numpy(), expected, rtol=0, atol=1e-9)


def test_images_too_small_for_the_blur_are_refused():
    message = "images of 25×40 are too small to blur; give sides above 25, or another fill."
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        blurred(torch.rand(1, 3, 25, 40))


def test_rise_blurs_with_almost_a_box_and_zeros_beyond_the_border():
    impulse = torch.zeros(1, 6, 21, 21, dtype=torch.float64)
    impulse[0, 4, 10, 10] = 1
    kernel = rise_blurred(impulse)[0]
    assert not kernel[[0, 1, 2, 3, 5]].any()
    window = kernel[4, 5:16, 5:16]
    assert window.sum() == pytest.approx(1, abs=1e-9)
    assert kernel[4].sum() == pytest.approx(1, abs=1e-9)
    # The range that protocols.md 5.2 states, to its digits.
    assert window.min().item() == pytest.approx(0.00774, abs=1e-5)
    assert window.max().item() == pytest.approx(0.00883, abs=1e-5)
    assert rise_blurred(torch.ones(1, 1, 21, 21))[0, 0, 0, 0] < 0.5


def test_zero_in_rgb_is_the_mean_colour_of_standardised_input_and_black_for_bcos():
    images = torch.rand(2, 3, 4, 4)
    standardised = rgb_zero(Encoding(lambda x: (x - 0.45) / 0.22), images)
    assert torch.equal(standardised, torch.zeros(2, 3, 4, 4))
    bcos = rgb_zero(Encoding(lambda x: torch.cat([x, 1 - x], dim=1)), images)
    assert torch.equal(bcos, torch.cat([torch.zeros(2, 3, 4, 4), torch.ones(2, 3, 4, 4)], dim=1))
