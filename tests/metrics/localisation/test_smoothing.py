from __future__ import annotations

import re

import pytest
import torch
from torchvision.transforms.v2.functional import gaussian_blur

from bcos_eval.metrics.localisation.region_scores import gaussian_smooth, smooth


def _slow_mean(image, kernel):
    """Definition: sum over the neighbours that exist, divided by the full number of neighbours."""
    reach = (kernel - 1) // 2
    height, width = image.shape
    result = torch.zeros(height, width, dtype=torch.float64)
    for i in range(height):
        for j in range(width):
            for di in range(-reach, reach + 1):
                for dj in range(-reach, reach + 1):
                    if 0 <= i + di < height and 0 <= j + dj < width:
                        result[i, j] += image[i + di, j + dj].double()
    return result / kernel**2


@pytest.mark.parametrize("kernel", [1, 3, 5, 9])
def test_it_equals_the_mean_with_zeros_beyond_the_border(kernel):
    image = torch.randn(6, 7, generator=torch.Generator().manual_seed(kernel))
    torch.testing.assert_close(
        smooth(image[None, None], kernel)[0, 0], _slow_mean(image, kernel), rtol=0, atol=1e-12
    )


def test_an_interior_constant_stays():
    assert smooth(torch.ones(1, 1, 5, 5), 3)[0, 0, 2, 2] == 1
    assert smooth(torch.ones(1, 1, 5, 5), 3)[0, 0, 0, 0] == pytest.approx(4 / 9, abs=1e-12)


@pytest.mark.parametrize("kernel", [0, -1, 2, 14])
def test_an_even_or_absent_kernel_is_refused(kernel):
    message = f"smoothing is {kernel}; give an odd number of pixels, 1 for none."
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        smooth(torch.ones(1, 1, 4, 4), kernel)


def test_the_gaussian_equals_torchvision_s_blur():
    maps = torch.randn(2, 3, 20, 17, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    expected = gaussian_blur(maps, [9, 9], [2.25, 2.25])
    torch.testing.assert_close(gaussian_smooth(maps, 9, 2.25), expected, rtol=0, atol=1e-9)


def test_the_gaussian_leaves_a_constant_map_as_it_is():
    maps = torch.full((1, 1, 70, 66), 0.3, dtype=torch.float64)
    torch.testing.assert_close(gaussian_smooth(maps, 129, 32.25), maps, rtol=0, atol=1e-9)


def test_a_gaussian_wider_than_the_mirrored_map_is_refused():
    message = (
        "a Gaussian of 129 pixels cannot be mirrored at the border of maps of 64×80; "
        "give maps of 65 pixels or more."
    )
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        gaussian_smooth(torch.zeros(1, 1, 64, 80), 129, 32.25)
