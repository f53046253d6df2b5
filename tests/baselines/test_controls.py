"""Controls: chance level, centre, edges."""

from __future__ import annotations

import pytest
import torch
from skimage.filters import sobel

from bcos_eval.baselines import EXPLAINERS


def test_noise_is_uniform_and_independent_between_targets_and_images(standard):
    images = torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    maps = EXPLAINERS["random"](standard, images, torch.tensor([[0, 1], [0, 1]]))
    assert maps.min() >= 0
    assert maps.max() < 1
    quarters = maps.flatten(2).histc(4, 0, 1) / maps.numel()
    assert (quarters - 0.25).abs().max() < 0.02
    correlations = torch.corrcoef(maps.flatten(0, 1).flatten(1)) - torch.eye(4)
    assert correlations.abs().max() < 5 / 64  # five standard errors of 64² pairs


def test_noise_of_a_target_is_the_same_in_every_call_with_its_seed(standard, images):
    first = EXPLAINERS["random"](standard, images, torch.tensor([[0, 1]] * 3), seed=7)
    again = EXPLAINERS["random"](standard, images.flip(0), torch.tensor([[1]] * 3), seed=7)
    assert torch.equal(first[:, 1], again.flip(0)[:, 0])
    assert not torch.equal(first, EXPLAINERS["random"](standard, images, torch.tensor([[0, 1]] * 3), seed=8))


def test_uniform_maps_are_ones(standard, images, targets):
    assert torch.equal(EXPLAINERS["uniform"](standard, images, targets), torch.ones(3, 3, 24, 24))


@pytest.mark.parametrize(("height", "width"), [(24, 24), (25, 31), (1, 2), (672, 672)])
def test_the_centre_is_the_only_largest_pixel(standard, height, width):
    maps = EXPLAINERS["center"](standard, torch.zeros(1, 3, height, width), torch.tensor([[0]]))[0, 0]
    assert (maps == maps.max()).nonzero().tolist() == [[height // 2, width // 2]]


def test_edges_equal_scikit_images_sobel_filter(standard, images, targets):
    maps = EXPLAINERS["edges"](standard, images, targets)
    for image, edges in zip(images, maps, strict=True):
        # scikit-image takes the difference of neighbours two pixels apart, and halves the sum of squares.
        expected = torch.from_numpy(sobel(image.mean(0).numpy(), mode="nearest")) / 2**0.5
        for k in range(3):
            torch.testing.assert_close(edges[k], expected.float())


def test_a_constant_image_has_no_edges(standard):
    assert not EXPLAINERS["edges"](standard, torch.full((1, 3, 9, 9), 0.5), torch.tensor([[0]])).any()
