"""Occlusion against Captum, a slow twin, and a linear network."""

from __future__ import annotations

import pytest
import torch
from captum.attr import Occlusion

from bcos_eval.baselines import EXPLAINERS
from bcos_eval.baselines.occlusion import windows
from bcos_eval.errors import InputError


def test_tiles_equal_captum_target_by_target(bcos, images, targets):
    maps = EXPLAINERS["occlusion"](bcos, images, targets, size=8, stride=8)
    for k in range(3):
        expected = Occlusion(bcos).attribute(
            bcos.encode(images), sliding_window_shapes=(6, 8, 8), strides=(6, 8, 8), target=targets[:, k]
        )
        # Captum gives every pixel the whole drop, for each of the six channels.
        torch.testing.assert_close(maps[:, k], expected[:, 0] / 64, rtol=1e-4, atol=1e-6)


def test_maps_equal_a_loop_over_overlapping_squares(standard, images, targets):
    maps = EXPLAINERS["occlusion"](standard, images, targets, size=7, stride=5)
    encoded = standard.encode(images)[2]
    before = standard(encoded[None])[0]
    expected = torch.zeros(3, 24, 24)
    for top in range(0, 24, 5):
        for left in range(0, 24, 5):
            if top > 20 or left > 20:
                continue  # the square at 20 already reaches the border
            masked = encoded.clone()
            masked[:, top : top + 7, left : left + 7] = 0
            drop = (before - standard(masked[None])[0]).detach()
            n_pixels = (min(top + 7, 24) - top) * (min(left + 7, 24) - left)
            for k in range(3):
                expected[k, top : top + 7, left : left + 7] += drop[targets[2, k]] / n_pixels
    torch.testing.assert_close(maps[2], expected, rtol=1e-4, atol=1e-6)


def test_single_pixels_on_a_linear_network_give_input_times_gradient(linear, images, targets):
    maps = EXPLAINERS["occlusion"](linear, images, targets, size=1, stride=1)
    # A drop is a small difference of float32 logits.
    torch.testing.assert_close(maps, EXPLAINERS["ixg"](linear, images, targets), rtol=0, atol=2e-6)


@pytest.mark.parametrize(
    ("height", "width", "size", "stride"), [(224, 224, 32, 32), (10, 13, 4, 3), (5, 5, 8, 8), (9, 9, 2, 5)]
)
def test_squares_start_on_the_stride_and_reach_the_far_borders(height, width, size, stride):
    squares = windows(height, width, size, stride)
    assert all(rows.start % stride == 0 and columns.start % stride == 0 for rows, columns in squares)
    assert max(rows.stop for rows, _ in squares) == height or stride > size
    assert max(columns.stop for _, columns in squares) == width or stride > size
    assert len(set(map(str, squares))) == len(squares)


def test_the_papers_preset_has_seven_by_seven_squares():
    assert len(windows(224, 224, 32, 32)) == 49


@pytest.mark.parametrize("name", ["size", "stride"])
def test_squares_without_extent_are_refused(standard, images, targets, name):
    with pytest.raises(InputError, match=rf"^occlusion\.{name}=0 is not allowed; use 1 or more$"):
        EXPLAINERS["occlusion"](standard, images, targets, **{name: 0})
