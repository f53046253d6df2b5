"""GradientSHAP against Captum, a loop from the definition, and integrated gradients."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from captum.attr import GradientShap

from bcos_eval.baselines import EXPLAINERS
from bcos_eval.seeding import derived_generator, image_key

SHAP = EXPLAINERS["gradientshap"]


@pytest.fixture(params=["standard", "bcos"])
def model(request):
    return request.getfixturevalue(request.param)


def draws(image, n, seed=0):
    generator = derived_generator(seed, "gradientshap", image_key(image))
    return torch.rand(n, generator=generator), torch.rand(n, 3, generator=generator)


@pytest.mark.parametrize("references", ["colours", "zero"])
def test_maps_are_the_mean_of_the_definition_point_by_point(model, images, targets, references):
    """A slow twin with the same draws: each point, target and reference alone."""
    maps = SHAP(model, images, targets, n_samples=4, references=references)
    for b, image in enumerate(images):
        places, colours = draws(image, 4)
        end = model.encode(image[None])
        for k, target in enumerate(targets[b]):
            total = torch.zeros(image.shape[1:])
            for place, colour in zip(places, colours, strict=True):
                start = model.encode(colour[None, :, None, None].expand(1, 3, *image.shape[1:]))
                if references == "zero":
                    start = torch.zeros_like(start)
                point = (start + place * (end - start)).detach().requires_grad_()
                model(point)[0, target].backward()
                total += ((end - start) * point.grad).sum((0, 1)) / 4
            torch.testing.assert_close(maps[b, k], total, rtol=1e-4, atol=1e-6)


@pytest.mark.filterwarnings("ignore:Input Tensor .* did not already require gradients")
def test_captum_gives_the_same_for_the_same_draws(standard, images, targets, monkeypatch):
    """Captum draws places with NumPy; given ours, and the one reference zero, the maps are equal."""
    image, wanted = images[:1], targets[:1]
    places, _ = draws(images[0], 6)
    monkeypatch.setattr(np.random, "uniform", lambda low, high, size: places.numpy().astype(np.float64)[:size])
    encoded = standard.encode(image)
    maps = SHAP(standard, image, wanted, n_samples=6, references="zero")
    for k in range(wanted.shape[1]):
        theirs = GradientShap(standard).attribute(
            encoded, baselines=torch.zeros_like(encoded), n_samples=6, stdevs=0.0, target=wanted[:, k]
        )
        torch.testing.assert_close(maps[:, k], theirs.sum(1).detach(), rtol=1e-4, atol=1e-6)


def test_maps_of_a_linear_network_are_complete_exactly(linear, images, targets):
    """The gradient is the same everywhere: the sum is the logit minus the mean logit of the drawn references."""
    maps = SHAP(linear, images, targets, n_samples=5)
    for b, image in enumerate(images):
        _, colours = draws(image, 5)
        starts = linear.encode(colours[:, :, None, None].expand(-1, -1, *image.shape[1:]))
        with torch.no_grad():
            expected = (linear(linear.encode(image[None])) - linear(starts).mean(0))[0, targets[b]]
        torch.testing.assert_close(maps[b].sum((1, 2)), expected, rtol=1e-4, atol=1e-5)


def test_the_expectation_from_zero_is_integrated_gradients(standard, images, targets):
    """The sum over many points estimates the path integral; its error falls with their number."""
    n = 400
    exact = EXPLAINERS["intgrad"](standard, images, targets, n_steps=50).sum((2, 3))
    estimates = torch.stack(
        [
            SHAP(standard, images, targets, n_samples=n // 8, references="zero", seed=s).sum((2, 3))
            for s in range(8)
        ]
    )
    error = estimates.std(0) / math.sqrt(8)
    # Nine estimates of eight seeds: Student's t with seven degrees of freedom is below 6.1 at 1 − .05 / 90.
    assert ((estimates.mean(0) - exact).abs() < 6.1 * error + 1e-6).all()


def test_another_seed_is_another_map_and_batches_change_nothing(standard, images, targets):
    one = SHAP(standard, images, targets, n_samples=6, seed=1)
    assert not torch.equal(one, SHAP(standard, images, targets, n_samples=6, seed=2))
    alone = torch.cat(
        [SHAP(standard, images[b : b + 1], targets[b : b + 1], n_samples=6, seed=1) for b in range(3)]
    )
    torch.testing.assert_close(one, alone)
    portions = SHAP(standard, images, targets, n_samples=6, seed=1, batch_pixels=24 * 24)
    torch.testing.assert_close(one, portions, rtol=1e-4, atol=1e-6)
