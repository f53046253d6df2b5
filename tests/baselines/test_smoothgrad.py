"""SmoothGrad: the mean of the gradients of noisy images."""

from __future__ import annotations

import pytest
import torch

from bcos_eval.baselines import EXPLAINERS
from bcos_eval.errors import InputError
from bcos_eval.seeding import derived_generator, image_key


def test_maps_equal_a_loop_over_noisy_images_and_targets(bcos, images, targets):
    maps = EXPLAINERS["smoothgrad"](bcos, images, targets, seed=4, n_samples=6, noise_fraction=0.2)
    image = images[1]
    generator = derived_generator(4, "smoothgrad", image_key(image))
    noisy = [
        image + 0.2 * (image.max() - image.min()) * torch.randn(image.shape, generator=generator) for _ in range(6)
    ]
    for k in range(3):
        mean = torch.zeros(24, 24)
        for each in noisy:
            x = bcos.encode(each[None]).requires_grad_()
            bcos(x)[0, targets[1, k]].backward()
            mean += x.grad[0].sum(0) / 6
        torch.testing.assert_close(maps[1, k], mean)


def test_without_noise_it_is_the_gradient(standard, images, targets):
    maps = EXPLAINERS["smoothgrad"](standard, images, targets, n_samples=2, noise_fraction=0.0)
    torch.testing.assert_close(maps, EXPLAINERS["grad"](standard, images, targets))


def test_on_a_linear_network_it_is_the_gradient(linear, images, targets):
    maps = EXPLAINERS["smoothgrad"](linear, images, targets, n_samples=3)
    torch.testing.assert_close(maps, EXPLAINERS["grad"](linear, images, targets))


def test_no_sample_is_refused(standard, images, targets):
    with pytest.raises(InputError, match=r"^smoothgrad\.n_samples=0 is not allowed; use 1 or more$"):
        EXPLAINERS["smoothgrad"](standard, images, targets, n_samples=0)
