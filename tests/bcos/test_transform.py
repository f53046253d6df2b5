from __future__ import annotations

import math

import pytest
import torch
from bcos.modules import BcosConv2d as OfficialConv2d
from bcos.modules import BcosLinear as OfficialLinear
from torch import Tensor, nn

from bcos_eval.bcos import BcosConv2d, BcosLinear, LogitLayer, default_logit_bias, explanation_mode

CONVOLUTIONS = [
    {"kernel_size": 1},
    {"kernel_size": 3, "padding": 1},
    {"kernel_size": 3, "stride": 2, "padding": 1, "max_out": 2},
    {"kernel_size": 3, "padding": 1, "groups": 2},
    {"kernel_size": 5, "stride": 3, "b": 1.25},
    {"kernel_size": 2, "b": 1},
    {"kernel_size": 1, "stride": 2, "b": 3},
]


def loop_convolution(x: Tensor, weight: Tensor, b: float, max_out: int) -> Tensor:
    """The definition, patch by patch, for stride 1 and no padding."""
    n, _, height, width = x.shape
    k = weight.shape[-1]
    out = torch.empty(n, weight.shape[0], height - k + 1, width - k + 1, dtype=x.dtype)
    for i, o, row, column in torch.cartesian_prod(*(torch.arange(s) for s in out.shape)).tolist():
        patch = x[i, :, row : row + k, column : column + k].flatten()
        w = weight[o].flatten()
        cosine = float(patch @ w) / (float(patch.norm()) * float(w.norm()))
        out[i, o, row, column] = abs(cosine) ** (b - 1) * float(patch.norm()) * cosine
    return out.unflatten(1, (-1, max_out)).amax(2)


@pytest.mark.parametrize("b", [1.0, 1.5, 2.0])
@pytest.mark.parametrize("max_out", [1, 3])
def test_convolution_equals_the_definition_patch_by_patch(b: float, max_out: int):
    torch.manual_seed(0)
    layer = BcosConv2d(3, 2, 2, b=b, max_out=max_out).double()
    x = torch.randn(2, 3, 4, 3, dtype=torch.float64)
    expected = loop_convolution(x, layer.linear.weight.detach(), b, max_out)
    # The stabilising constants (1e-6) are part of the layer and not of the definition.
    torch.testing.assert_close(layer(x).detach(), expected, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("arguments", CONVOLUTIONS, ids=str)
@pytest.mark.parametrize("explaining", [False, True])
def test_convolution_and_its_input_gradient_equal_the_official_layer(arguments: dict, explaining: bool):
    torch.manual_seed(0)
    ours, official = BcosConv2d(4, 6, **arguments), OfficialConv2d(4, 6, **arguments)
    official.load_state_dict(ours.state_dict())
    official.set_explanation_mode(explaining)
    ours.explaining = explaining
    x = torch.rand(2, 4, 9, 8, requires_grad=True)
    out, expected = ours(x), official(x)
    torch.testing.assert_close(out, expected, atol=1e-6, rtol=1e-5)
    probe = torch.randn_like(out)
    (gradient,) = torch.autograd.grad(out, x, probe)
    (official_gradient,) = torch.autograd.grad(expected, x, probe)
    torch.testing.assert_close(gradient, official_gradient, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("arguments", [{}, {"b": 1}, {"b": 1.5}, {"max_out": 2}], ids=str)
@pytest.mark.parametrize("explaining", [False, True])
def test_linear_layer_and_its_input_gradient_equal_the_official_layer(arguments: dict, explaining: bool):
    torch.manual_seed(0)
    ours, official = BcosLinear(5, 3, **arguments), OfficialLinear(5, 3, **arguments)
    official.load_state_dict(ours.state_dict())
    official.set_explanation_mode(explaining)
    ours.explaining = explaining
    x = torch.randn(2, 7, 5, requires_grad=True)
    out, expected = ours(x), official(x)
    torch.testing.assert_close(out, expected)
    (gradient,) = torch.autograd.grad(out.sum(), x)
    (official_gradient,) = torch.autograd.grad(expected.sum(), x)
    torch.testing.assert_close(gradient, official_gradient)


def test_scaling_the_weights_changes_nothing():
    torch.manual_seed(0)
    layer, scaled = BcosConv2d(3, 4, 3), BcosConv2d(3, 4, 3)
    scaled.linear.weight.data = 7 * layer.linear.weight.data
    x = torch.rand(1, 3, 6, 6)
    torch.testing.assert_close(scaled(x), layer(x))


def test_an_aligned_patch_gives_its_norm_and_an_orthogonal_one_nothing():
    layer = BcosLinear(2, 1)
    layer.linear.weight.data = torch.tensor([[3.0, 4.0]])
    out = layer(torch.tensor([[6.0, 8.0], [-4.0, 3.0], [-3.0, -4.0]]))
    torch.testing.assert_close(out, torch.tensor([[10.0], [0.0], [-5.0]]))


def test_a_zero_patch_gives_zero_and_a_finite_gradient():
    layer = BcosConv2d(3, 2, 3, padding=1)
    x = torch.zeros(1, 3, 5, 5, requires_grad=True)
    out = layer(x)
    (gradient,) = torch.autograd.grad(out.sum(), x)
    assert torch.equal(out, torch.zeros_like(out))
    assert torch.isfinite(gradient).all()


def test_in_explanation_mode_the_gradient_is_the_effective_weight():
    torch.manual_seed(0)
    layer = BcosLinear(4, 3).double()
    x = torch.randn(1, 4, dtype=torch.float64, requires_grad=True)
    with explanation_mode(layer):
        out = layer(x)
    for o in range(3):
        weight = layer.linear.weight[o].detach()
        w = weight / weight.norm()
        cosine = abs(float(w @ x[0].detach())) / float(x.detach().norm())
        (gradient,) = torch.autograd.grad(out[0, o], x, retain_graph=True)
        torch.testing.assert_close(gradient[0], cosine * w, atol=1e-9, rtol=1e-9)
        assert math.isclose(float((gradient * x.detach()).sum()), float(out[0, o].detach()), rel_tol=1e-9)


@pytest.mark.parametrize("layer", [BcosConv2d, BcosLinear])
def test_bad_exponents_are_refused(layer: type[nn.Module]):
    sizes = (3, 4, 3) if layer is BcosConv2d else (3, 4)
    with pytest.raises(ValueError, match=r"^the B-cos exponent b must be at least 1, got 0\.5$"):
        layer(*sizes, b=0.5)
    with pytest.raises(ValueError, match=r"^max_out must be at least 1, got 0$"):
        layer(*sizes, max_out=0)


def test_default_bias_gives_every_class_probability_one_over_c():
    assert math.isclose(default_logit_bias(1000), -6.906754778648554)
    probability = 1 / (1 + math.exp(-default_logit_bias(20)))
    assert math.isclose(probability, 1 / 20)


def test_temperature_divides_before_the_bias_is_added():
    out = LogitLayer(bias=-2.0, temperature=4.0)(torch.tensor([8.0, 0.0]))
    assert out.tolist() == [0.0, -2.0]


def test_a_temperature_of_zero_is_refused():
    with pytest.raises(ValueError, match=r"^the logit temperature must be positive, got 0$"):
        LogitLayer(temperature=0)
