"""Superpixels, their mean colours, and images without some of them."""

from __future__ import annotations

import pytest
import torch

from bcos_eval.baselines.lime import kernel_size_for, mean_colours, superpixels, without_superpixels

SEGMENTS = torch.tensor([[0, 0, 1], [2, 1, 1]])


def test_a_checkerboard_of_colours_is_found():
    tiles = torch.tensor([[0.0, 1.0], [1.0, 0.0]]).repeat_interleave(16, 0).repeat_interleave(16, 1)
    encoded = torch.stack([tiles, 1 - tiles, 0.5 * tiles])
    segments = superpixels(encoded, encoded[:3])
    assert segments.unique().tolist() == list(range(int(segments.max()) + 1))
    # No superpixel crosses a border between tiles.
    colours = mean_colours(encoded, segments)
    torch.testing.assert_close(colours, encoded)


@pytest.mark.parametrize("side", [32, 64, 96, 224])
def test_the_scale_of_superpixels_follows_the_image_so_that_small_ones_have_enough_of_them(side):
    generator = torch.Generator().manual_seed(0)
    coarse = torch.rand(1, 3, 8, 8, generator=generator)
    image = torch.nn.functional.interpolate(coarse, size=(side, side), mode="bicubic").clamp(0, 1)[0]
    # Five of them are marked; with as few in all the map would be one solid panel.
    assert len(superpixels(image, image).unique()) > 15
    assert torch.equal(
        superpixels(image, image), superpixels(image, image, kernel_size=kernel_size_for(side, side))
    )


def test_superpixels_are_the_same_in_every_call(images):
    assert torch.equal(superpixels(images[0], images[0]), superpixels(images[0].clone(), images[0]))


def test_mean_colours_equal_a_loop_over_superpixels():
    encoded = torch.rand(6, 2, 3, generator=torch.Generator().manual_seed(0))
    means = mean_colours(encoded, SEGMENTS)
    for segment in range(3):
        inside = segment == SEGMENTS
        for c in range(6):
            torch.testing.assert_close(means[c][inside], encoded[c][inside].mean().expand(int(inside.sum())))


def test_only_superpixels_that_are_not_kept_are_filled():
    encoded, fill = torch.ones(3, 2, 3), torch.zeros(3, 2, 3)
    perturbed = without_superpixels(encoded, fill, SEGMENTS, torch.tensor([[True, False, True]]))
    assert perturbed[0, 0].tolist() == [[1, 1, 0], [1, 0, 0]]
