"""Integrated gradients against Captum, and closed forms."""

from __future__ import annotations

import pytest
import torch
from captum.attr import IntegratedGradients

from bcos_eval.baselines import EXPLAINERS
from bcos_eval.baselines.gradients import gauss_legendre


@pytest.fixture(params=["standard", "bcos"])
def model(request):
    return request.getfixturevalue(request.param)


@pytest.mark.parametrize("n_steps", [1, 7, 50])
def test_maps_equal_captum_target_by_target(model, images, targets, n_steps):
    maps = EXPLAINERS["intgrad"](model, images, targets, n_steps=n_steps)
    captum = IntegratedGradients(model)
    for k in range(3):
        expected = captum.attribute(
            model.encode(images), target=targets[:, k], n_steps=n_steps, method="gausslegendre"
        ).sum(1)
        # Captum rounds nodes and weights to float32 in another order.
        error = (maps[:, k] - expected.detach()).abs().max() / expected.abs().max()
        assert error < 1e-5


def test_maps_sum_to_the_difference_to_the_encoded_zero(bcos, images, targets):
    maps = EXPLAINERS["intgrad"](bcos, images, targets)
    encoded = bcos.encode(images)
    difference = (bcos(encoded) - bcos(torch.zeros_like(encoded))).gather(1, targets).detach()
    torch.testing.assert_close(maps.sum((-2, -1)), difference, rtol=1e-4, atol=1e-5)  # 50 steps, float32


def test_on_a_linear_network_it_is_input_times_gradient(linear, images, targets):
    ours = EXPLAINERS["intgrad"](linear, images, targets, n_steps=3)
    torch.testing.assert_close(ours, EXPLAINERS["ixg"](linear, images, targets))


def test_the_quadrature_is_exact_for_polynomials_of_degree_2n_minus_1():
    nodes, weights = gauss_legendre(4)
    for degree in range(8):
        assert (weights * nodes**degree).sum().item() == pytest.approx(1 / (degree + 1), abs=1e-14)


def test_the_forward_pass_of_a_step_serves_all_targets(standard, images, targets):
    seen = []
    handle = standard.register_forward_hook(lambda _module, inputs, _output: seen.append(len(inputs[0])))
    EXPLAINERS["intgrad"](standard, images, targets, n_steps=10, batch_pixels=4 * 24 * 24)
    handle.remove()
    assert seen == [4, 4, 2] * 3
