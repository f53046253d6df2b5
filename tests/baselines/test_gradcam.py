"""Grad-CAM against Captum, and what its layer parameter does."""

from __future__ import annotations

import re

import pytest
import torch
from captum.attr import LayerAttribution, LayerGradCam
from torch.nn import functional as F

from bcos_eval.baselines import EXPLAINERS
from bcos_eval.errors import IncompatibleError, InputError


@pytest.mark.parametrize(("kind", "layer"), [("standard", "conv2"), ("bcos", "conv2")])
def test_maps_equal_captum_up_to_the_number_of_positions(request, images, targets, kind, layer):
    model = request.getfixturevalue(kind)
    maps = EXPLAINERS["gradcam"](model, images, targets, layer=layer)
    captum = LayerGradCam(model, getattr(model, layer))
    for k in range(3):
        low = captum.attribute(model.encode(images).requires_grad_(), target=targets[:, k], relu_attributions=True)
        expected = LayerAttribution.interpolate(low.detach(), (24, 24), "nearest")[:, 0]
        n_positions = low[0, 0].numel()  # Captum averages the gradient, the B-cos papers sum it
        torch.testing.assert_close(maps[:, k], expected * n_positions)


def test_without_a_layer_the_features_before_the_classifier_are_taken(bcos, images, targets):
    ours = EXPLAINERS["gradcam"](bcos, images, targets)
    torch.testing.assert_close(ours, EXPLAINERS["gradcam"](bcos, images, targets, layer="conv2"))


def test_only_the_head_is_differentiated(standard, images, targets):
    modes = []
    handle = standard.conv2.register_forward_hook(lambda *_args: modes.append(torch.is_grad_enabled()))
    EXPLAINERS["gradcam"](standard, images, targets)
    handle.remove()
    assert modes == [False]


def test_upsampling_is_nearest_unless_bilinear_is_asked_for(bcos, images, targets):
    nearest = EXPLAINERS["gradcam"](bcos, images, targets)
    low = nearest[..., ::2, ::2]  # the features have stride 2
    assert torch.equal(nearest, low.repeat_interleave(2, -1).repeat_interleave(2, -2))
    bilinear = EXPLAINERS["gradcam"](bcos, images, targets, upsample="bilinear")
    torch.testing.assert_close(bilinear, F.interpolate(low, (24, 24), mode="bilinear", align_corners=False))


def test_a_target_without_positive_evidence_gets_a_zero_map(standard, images):
    with torch.no_grad():
        standard.classifier.weight[1] = -1.0  # the features are not negative
    maps = EXPLAINERS["gradcam"](standard, images, torch.tensor([[1]] * 3))
    assert not maps.any()


def test_an_unknown_layer_gets_near_matches(standard, images, targets):
    with pytest.raises(InputError, match=r"^unknown layer 'conv3'; did you mean conv2 or conv1\?$"):
        EXPLAINERS["gradcam"](standard, images, targets, layer="conv3")


@pytest.mark.parametrize(
    ("layer", "message"),
    [
        (
            "classifier",
            "layer 'classifier' of 'ToyNetwork' does not give spatial features (B, F, h, w); name another layer",
        ),
        (
            "relu",
            "layer 'relu' of 'ToyNetwork' runs 2 times in a forward pass; name a layer that runs once",
        ),
    ],
)
def test_a_layer_that_does_not_serve_is_refused(standard, images, targets, layer, message):
    with pytest.raises(IncompatibleError, match=f"^{re.escape(message)}$"):
        EXPLAINERS["gradcam"](standard, images, targets, layer=layer)
    assert not standard.get_submodule(layer)._forward_hooks


def head_gradients(model, features, target):
    x = features.clone().requires_grad_()
    model.head(x)[0, target].backward()
    return x.grad[0]


@pytest.mark.parametrize("kind", ["standard", "bcos"])
def test_layer_cam_equals_its_equation_pixel_by_pixel(request, images, targets, kind):
    model = request.getfixturevalue(kind)
    maps = EXPLAINERS["layercam"](model, images, targets)
    features = model.features(model.encode(images[:1])).detach()
    for k in range(3):
        gradients = head_gradients(model, features, targets[0, k])
        low = (gradients.clamp(min=0) * features[0]).sum(0).clamp(min=0)
        torch.testing.assert_close(maps[0, k, ::2, ::2], low)


def test_grad_cam_plus_plus_equals_the_derivatives_of_the_exponential_score(standard, images, targets):
    """Second and third derivatives of exp(logit) by one feature, by automatic differentiation."""
    standard.double()
    maps = EXPLAINERS["gradcam++"](standard, images.double(), targets)
    features = standard.features(standard.encode(images[:1].double())).detach()
    n_channels, height, width = features.shape[1:]
    for k in range(3):
        logit = standard.head(features)[0, targets[0, k]]
        weights = torch.zeros(n_channels, dtype=torch.float64)
        for channel in range(n_channels):
            # The head pools: all positions of a channel have the same derivatives.
            derivatives = exponential_derivatives(standard, features, channel, targets[0, k])
            first, second, third = (each / logit.exp() for each in derivatives)
            denominator = 2 * second + features[0, channel].sum() * third
            alpha = second / denominator if second != 0 else 0.0
            weights[channel] = height * width * alpha * first.clamp(min=0)
        low = torch.einsum("f,fhw->hw", weights, features[0]).clamp(min=0)
        torch.testing.assert_close(maps[0, k, ::2, ::2], low.float().detach(), rtol=1e-4, atol=1e-6)


def exponential_derivatives(model, features, channel, target):
    step = torch.zeros((), dtype=torch.float64, requires_grad=True)
    moved = features.clone()
    moved[0, channel, 0, 0] = moved[0, channel, 0, 0] + step
    value = model.head(moved)[0, target].exp()
    derivatives = []
    for _ in range(3):
        (value,) = torch.autograd.grad(value, step, create_graph=True)
        derivatives.append(value)
    return [each.detach() for each in derivatives]
