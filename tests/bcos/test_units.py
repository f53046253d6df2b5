"""Hidden units, explained: the contributions of all pixels sum to the activation."""

from __future__ import annotations

import re

import pytest
import torch

import bcos_eval
from bcos_eval.bcos import unit_activations, unit_summary
from bcos_eval.errors import InputError

IMAGES = torch.rand(3, 3, 64, 64, generator=torch.Generator().manual_seed(0))


@pytest.fixture(scope="module")
def networks():
    return {
        name: bcos_eval.load_model(name, dataset="shapes")
        for name in ("bcos_resnet18", "bcos_densenet121", "resnet18")
    }


UNITS = [
    ("bcos_resnet18", "conv1", 3),
    ("bcos_resnet18", "layer2.0", 11),
    ("bcos_resnet18", "layer4.1", 37),
    ("bcos_densenet121", "features.denseblock2", 5),
]


@pytest.mark.parametrize("over", ["mean", "max"])
@pytest.mark.parametrize(("name", "layer", "channel"), UNITS)
def test_contributions_sum_to_the_activation(networks, name, layer, channel, over):
    network = networks[name]
    seen = []
    handle = network.get_submodule(layer).register_forward_hook(lambda *given: seen.append(given[2]))
    with torch.no_grad():
        network(network.encode(IMAGES))
    handle.remove()
    values = seen[0].flatten(2)[:, channel] if seen[0].ndim == 4 else seen[0][..., channel]
    activations = values.mean(1) if over == "mean" else values.amax(1)
    maps = bcos_eval.explain(network, IMAGES, unit=(layer, channel), over=over)
    assert maps.shape == (3, 1, 64, 64)
    # float32 through a network.
    torch.testing.assert_close(maps.sum((1, 2, 3)), activations, rtol=1e-3, atol=1e-4)
    encoded = network.encode(IMAGES)
    torch.testing.assert_close(unit_activations(network, encoded, (layer, channel), over=over), activations)


def test_the_network_is_left_as_it_was(networks):
    network = networks["bcos_resnet18"]
    before = network(network.encode(IMAGES))
    unit_summary(network, network.encode(IMAGES), ("layer3", 2))
    assert not any(module._forward_hooks for module in network.modules())
    assert torch.equal(network(network.encode(IMAGES)), before)
    assert all(parameter.grad is None for parameter in network.parameters())


@pytest.mark.parametrize(
    ("name", "given", "message"),
    [
        ("bcos_resnet18", {"unit": ("layer4.2", 0)}, "unknown layer 'layer4.2'; did you mean layer4"),
        ("bcos_resnet18", {"unit": ("conv1", 999)}, "layer 'conv1' has no channel 999; give one from 0 to"),
        ("bcos_resnet18", {"unit": "layer4.1:37"}, "unit='layer4.1:37' is not allowed; give (layer, channel)"),
        (
            "bcos_resnet18",
            {"unit": ("conv1", 0), "over": "sum"},
            "over='sum' is not allowed; give 'mean' or 'max'.",
        ),
        ("bcos_resnet18", {"unit": ("conv1", 0), "method": "ixg"}, "a unit is explained by the method bcos"),
        (
            "bcos_resnet18",
            {"unit": ("conv1", 0), "targets": [0, 0, 0]},
            "give targets, the classes to explain, or",
        ),
        ("bcos_resnet18", {}, "give targets, the classes to explain, or unit=(layer, channel), and not both."),
        ("resnet18", {"unit": ("conv1", 0)}, "'resnet18' is no B-cos network, and units of others have no"),
    ],
)
def test_what_cannot_be_explained_is_refused_in_a_line(networks, name, given, message):
    with pytest.raises(InputError, match=f"^{re.escape(message)}"):
        bcos_eval.explain(networks[name], IMAGES, **given)
