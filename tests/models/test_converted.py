"""`bcos:NAME`: networks converted from trained standard ones."""

from __future__ import annotations

import copy
from pathlib import Path

import pytest
import torch
from torch import nn
from torchvision import models as torchvision_models

from bcos_eval.bcos import BcosConv2d, contribution_map, explanation_mode, linear_summary
from bcos_eval.errors import InputError
from bcos_eval.models import load_model, model_info
from bcos_eval.models.bcosify import bcosify
from bcos_eval.models.convert import Gate
from bcos_eval.models.converted import ConvertedNetwork, calibrate_norms
from bcos_eval.models.form import BcosForm, set_exponent
from bcos_eval.models.weights_file import save_weights

NAMES = ["mobilenet_v2", "squeezenet1_1", "mobilenet_v3_small", "resnet18", "densenet121", "regnet_y_400mf"]


def measured(network: nn.Module, encoded: torch.Tensor) -> nn.Module:
    """The network with the statistics of one batch: fresh ones let the signal fade away."""
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.momentum = 1.0
    with torch.no_grad():
        network.train()(encoded)
    return network.eval()


@pytest.mark.parametrize("name", NAMES)
def test_contributions_add_up_to_the_logits(name: str):
    torch.manual_seed(0)
    network = model_info(f"bcos:{name}").build("small", 7).double().requires_grad_(False)
    assert network.name == f"bcos:{name}"
    encoded = network.encode(torch.rand(4, 3, 96, 96, dtype=torch.float64))
    measured(network, encoded)
    targets = torch.tensor([[0, 3]]).expand(4, 2)
    maps = contribution_map(linear_summary(network, encoded, targets), encoded[:, None])
    evidence = network(encoded).gather(1, targets) - network.logit_bias
    assert evidence.abs().min() > 1e-6
    torch.testing.assert_close(maps.sum((2, 3)), evidence, rtol=1e-5, atol=1e-9)


@pytest.mark.parametrize("activation", [nn.SiLU(), nn.GELU(), nn.Hardswish(), nn.Mish()])
def test_a_gate_is_its_activation_and_linear_while_explaining(activation: nn.Module):
    gate = Gate(activation)
    x = torch.linspace(-4, 4, 33, dtype=torch.float64).requires_grad_()
    torch.testing.assert_close(gate(x), activation(x))
    with explanation_mode(gate):
        out = gate(x)
    torch.testing.assert_close(out, activation(x))
    (gradient,) = torch.autograd.grad(out.sum(), x)
    torch.testing.assert_close(gradient * x, out)


def test_the_first_exponent_is_the_network_with_filters_of_unit_length():
    """At B = 1 a stem computes what the standard one does on centred images, up to each channel's scale."""
    torch.manual_seed(0)
    standard = nn.Sequential(
        nn.Conv2d(3, 8, 3, padding=1, bias=False),
        nn.BatchNorm2d(8),
        nn.ReLU(),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(8, 5, bias=False),
    )
    images = torch.rand(16, 3, 12, 12)
    standard.eval()
    converted = bcosify(standard, b=1, carry_over=True, keep_activations=True)
    stem = converted.features.get_submodule("0").linear.weight
    centred = images - 0.5  # w/2·x − w/2·(1 − x) = w·(x − ½)
    torch.testing.assert_close(
        nn.functional.conv2d(converted.encode(images), stem), nn.functional.conv2d(centred, standard[0].weight)
    )


def test_calibration_keeps_the_logits_and_makes_the_norms_divide_by_what_they_meet():
    torch.manual_seed(0)
    network = torchvision_models.resnet18(num_classes=5).eval()
    x = torch.randn(8, 3, 64, 64)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_var.uniform_(0.5, 2)
            module.running_mean.normal_()
            module.weight.data.uniform_(0.5, 2)
    calibrated = copy.deepcopy(network)
    calibrate_norms(calibrated, x)
    met = []
    handle = calibrated.layer3[0].bn1.register_forward_pre_hook(lambda _, inputs: met.append(inputs[0]))
    with torch.no_grad():
        torch.testing.assert_close(calibrated(x), network(x), rtol=1e-4, atol=1e-4)
    handle.remove()
    torch.testing.assert_close(calibrated.layer3[0].bn1.running_var, met[0].var((0, 2, 3), unbiased=False))
    # In training, where a norm takes the batch's statistics, it does what it does in evaluation.
    with torch.no_grad():
        torch.testing.assert_close(calibrated.train()(x), network(x), rtol=1e-3, atol=1e-3)


def test_filters_of_zeros_get_a_direction_and_stay_without_effect():
    """Trained networks have dead filters, and files with folded norms no bias that would keep them apart."""
    torch.manual_seed(0)
    network = torchvision_models.mobilenet_v2(num_classes=5).eval()
    x = torch.randn(8, 3, 64, 64)
    dead = network.features[1].conv[0][0].weight
    with torch.no_grad():
        dead[3] = 0
        before = network(x)
        calibrate_norms(network, x)
        torch.testing.assert_close(network(x), before, rtol=1e-4, atol=1e-4)
    assert network.features[1].conv[0][1].weight[3] == 0
    converted = bcosify(network, b=1, carry_over=True, keep_activations=True)
    encoded = converted.encode(torch.rand(2, 3, 64, 64))
    assert converted(encoded).isfinite().all()
    converted.train()(encoded).sum().backward()
    assert all(parameter.grad.isfinite().all() for parameter in converted.parameters())


def test_set_exponent_reaches_every_layer():
    network = model_info("bcos:resnet18").build("small", 5)
    set_exponent(network, 1.5)
    exponents = {module.b for module in network.modules() if isinstance(module, BcosConv2d)}
    assert exponents == {1.5}


def test_saved_conversions_are_built_as_they_were_made(tmp_path: Path):
    network = ConvertedNetwork("mobilenet_v2", BcosForm(1.25, "layer"))("small", 5).eval()
    path = tmp_path / "bcos_mobilenet_v2-x.safetensors"
    card = {
        "model": "bcos:mobilenet_v2",
        "dataset": "x",
        "variant": "small",
        "num_classes": 5,
        "class_names": list("abcde"),
        "input_size": 96,
        "conversion": {"b": 1.25, "norm": "layer"},
    }
    save_weights(network, path, card)
    loaded = load_model("bcos:mobilenet_v2", weights=path)
    assert loaded.input_size == 96
    assert {module.b for module in loaded.modules() if isinstance(module, BcosConv2d)} == {1.25}
    assert [*loaded.state_dict()] == [*network.state_dict()]


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("bcos:mobilenet_v22", "unknown model 'mobilenet_v22'; did you mean mobilenet_v2 or "),
        (
            "bcos:bcos_resnet18",
            "model 'bcos_resnet18' is a B-cos network already; name a standard one after 'bcos:'",
        ),
        ("bcos:vit_b_16", "cannot convert "),
    ],
)
def test_what_cannot_be_converted_is_refused(name: str, message: str):
    with pytest.raises(InputError) as caught:
        load_model(name, weights="random")
    assert str(caught.value).startswith(message)
