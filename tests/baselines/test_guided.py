"""Guided backprop against Captum, and its product with Grad-CAM."""

from __future__ import annotations

import pytest
import torch
from captum.attr import GuidedBackprop, GuidedGradCam

from bcos_eval.baselines import EXPLAINERS

pytestmark = [
    pytest.mark.filterwarnings("ignore:Setting backward hooks on ReLU"),
    pytest.mark.filterwarnings("ignore:Input Tensor .* did not already require gradients"),
]


@pytest.fixture
def captum_ready(standard):
    standard.relu.inplace = False  # Captum's hooks do not allow in-place modules
    return standard


def test_maps_equal_captum_target_by_target(captum_ready, images, targets):
    maps = EXPLAINERS["gb"](captum_ready, images, targets)
    encoded = captum_ready.encode(images)
    for k in range(3):
        expected = GuidedBackprop(captum_ready).attribute(encoded, target=targets[:, k]).sum(1).detach()
        torch.testing.assert_close(maps[:, k], expected)


def test_in_place_relus_give_the_same_maps(standard, images, targets):
    maps = EXPLAINERS["gb"](standard, images, targets)
    standard.relu.inplace = False
    assert torch.equal(maps, EXPLAINERS["gb"](standard, images, targets))


def test_negative_gradients_are_stopped_at_every_relu(standard, images):
    with torch.no_grad():
        standard.classifier.weight.fill_(-1)
    assert not EXPLAINERS["gb"](standard, images, torch.zeros(3, 1, dtype=torch.int64)).any()


def test_the_product_with_grad_cam_equals_captums_up_to_the_number_of_positions(captum_ready, images, targets):
    maps = EXPLAINERS["guided_gradcam"](captum_ready, images, targets, layer="conv2")
    captum = GuidedGradCam(captum_ready, captum_ready.conv2)
    encoded = captum_ready.encode(images)
    for k in range(3):
        expected = captum.attribute(encoded, target=targets[:, k]).sum(1).detach()
        # Captum averages Grad-CAM's gradient over the 12 × 12 positions, the B-cos papers sum it.
        torch.testing.assert_close(maps[:, k], expected * 144, rtol=1e-4, atol=1e-5)
