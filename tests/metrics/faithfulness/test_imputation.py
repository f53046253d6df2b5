from __future__ import annotations

import re

import numpy as np
import pytest
import torch

from bcos_eval.metrics import linear_imputation

RAMP = torch.arange(16.0, dtype=torch.float64).reshape(1, 4, 4)


def _missing(*pixels, shape=(4, 4)):
    removed = torch.zeros(shape, dtype=torch.bool)
    for row, column in pixels:
        removed[row, column] = True
    return removed


def _dense(image, removed):
    """The definition in loops: one dense equation per pixel, a known pixel's being its own value."""
    height, width = removed.shape
    system = np.zeros((height * width, height * width))
    right = np.zeros((height * width, len(image)))
    for row in range(height):
        for column in range(width):
            pixel = row * width + column
            if not removed[row, column]:
                system[pixel, pixel] = 1
                right[pixel] = image[:, row, column]
                continue
            for down in (-1, 0, 1):
                for across in (-1, 0, 1):
                    r, c = row + down, column + across
                    if (down, across) != (0, 0) and 0 <= r < height and 0 <= c < width:
                        weight = 1 / 6 if 0 in (down, across) else 1 / 12
                        system[pixel, r * width + c] += weight
                        system[pixel, pixel] -= weight
    return np.linalg.solve(system, right).T.reshape(image.shape)


def test_two_missing_pixels_of_a_ramp_are_what_they_were():
    filled = linear_imputation(RAMP, _missing((1, 1), (1, 2)))
    torch.testing.assert_close(filled, RAMP, rtol=0, atol=1e-9)


def test_a_missing_corner_is_the_weighted_mean_of_its_three_neighbours():
    filled = linear_imputation(RAMP, _missing((0, 0)))
    assert filled[0, 0, 0].item() == pytest.approx(3.0, abs=1e-9)
    assert torch.equal(filled.flatten()[1:], RAMP.flatten()[1:])


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9, 0.98])
def test_the_sparse_solution_equals_the_dense_one(share):
    generator = torch.Generator().manual_seed(0)
    image = torch.rand(3, 7, 9, generator=generator, dtype=torch.float64)
    removed = torch.rand(7, 9, generator=generator) < share
    expected = _dense(image.numpy(), removed.numpy())
    np.testing.assert_allclose(linear_imputation(image, removed).numpy(), expected, rtol=0, atol=1e-9)


def test_imputed_values_stay_within_the_known_ones():
    generator = torch.Generator().manual_seed(1)
    image = torch.rand(3, 16, 16, generator=generator)
    removed = torch.rand(16, 16, generator=generator) < 0.8
    filled = linear_imputation(image, removed)
    known = image[:, ~removed].double()
    assert (filled.amax((1, 2)) <= known.amax(1) + 1e-9).all()
    assert (filled.amin((1, 2)) >= known.amin(1) - 1e-9).all()


def test_without_missing_pixels_nothing_changes_and_the_argument_is_left_alone():
    image = RAMP.clone()
    assert torch.equal(linear_imputation(image, _missing()), RAMP)
    linear_imputation(image, _missing((0, 0)))
    assert torch.equal(image, RAMP)


def test_one_known_pixel_is_spread_over_the_whole_image():
    removed = ~_missing((2, 1))
    torch.testing.assert_close(linear_imputation(RAMP, removed), torch.full_like(RAMP, 9.0), rtol=0, atol=1e-9)


def test_an_image_without_known_pixels_is_refused():
    message = "all 4×4 pixels are removed; keep at least one to impute from."
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        linear_imputation(RAMP, ~_missing())
