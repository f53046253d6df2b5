from __future__ import annotations

import pytest
import torch
from bcos.common import gradient_to_image

from bcos_eval.bcos import add_inverse, colour_explanation


@pytest.mark.parametrize("smoothing", [1, 3, 15])
def test_colour_explanation_equals_the_official_image(smoothing: int):
    torch.manual_seed(0)
    encoded = add_inverse(torch.rand(3, 20, 24))
    weights = torch.randn(6, 20, 24)
    expected = torch.from_numpy(gradient_to_image(encoded, weights, smooth=smoothing)).permute(2, 0, 1)
    rgba = colour_explanation(weights, encoded, smoothing=smoothing)
    torch.testing.assert_close(rgba, expected, atol=1e-6, rtol=1e-5)


def test_weights_on_red_alone_show_red_and_negative_contributions_nothing():
    weights = torch.zeros(6, 2, 1)
    weights[0, 0], weights[4, 0], weights[5, 0] = 1.0, 1.0, 1.0  # red present, green and blue absent
    weights[0, 1] = -1.0
    encoded = add_inverse(torch.tensor([1.0, 0.0, 0.0])[:, None, None].expand(3, 2, 1))
    rgba = colour_explanation(weights, encoded, smoothing=1)
    torch.testing.assert_close(rgba[:, 0, 0], torch.tensor([1.0, 0.0, 0.0, 1.0]))
    assert float(rgba[3, 1, 0]) < 1e-6


def test_zero_weights_are_finite():
    rgba = colour_explanation(torch.zeros(6, 4, 4), torch.rand(6, 4, 4))
    assert torch.isfinite(rgba).all()


def test_even_smoothing_is_refused():
    with pytest.raises(ValueError, match=r"^smoothing must be an odd number of pixels, got 4$"):
        colour_explanation(torch.zeros(6, 4, 4), torch.zeros(6, 4, 4), smoothing=4)
