from __future__ import annotations

import re

import pytest
import torch
from torch import nn

from bcos_eval.bench.gradient_alternatives import feature_module, with_separate_relus
from bcos_eval.errors import IncompatibleError


def test_the_copy_has_a_relu_module_per_use_and_computes_the_same(networks, image):
    network = networks[1]
    copied = with_separate_relus(network)
    encoded = network.encode(image)
    assert torch.equal(copied(encoded), network(encoded))
    uses = []
    for module in copied.modules():
        if isinstance(module, nn.ReLU):
            assert not module.inplace
            module.register_forward_hook(lambda m, *_: uses.append(m))
    copied(encoded)
    assert len(uses) == len(set(uses)) == 17  # a ResNet-18: one after the stem, two in each of eight blocks


def test_the_network_itself_keeps_its_relus(networks):
    before = [module for module in networks[1].modules() if isinstance(module, nn.ReLU)]
    with_separate_relus(networks[1])
    assert [module for module in networks[1].modules() if isinstance(module, nn.ReLU)] == before


def test_a_network_that_cannot_be_traced_is_refused():
    class Branching(nn.Module):
        def forward(self, x):
            return x if x.sum() > 0 else -x

    message = (
        "Captum needs a ReLU module per use and tracing fails: "
        "symbolically traced variables cannot be used as inputs to control flow"
    )
    with pytest.raises(IncompatibleError, match=f"^{re.escape(message)}"):
        with_separate_relus(Branching())


@pytest.mark.parametrize("index", [0, 1])
def test_the_feature_module_is_the_outermost_that_gives_the_features(networks, image, index):
    assert feature_module(networks[index], networks[index].encode(image)) is networks[index].layer4
    assert not any(module._forward_hooks for module in networks[index].modules())


def test_features_that_no_module_gives_are_refused(image):
    class Sliced(nn.Module):
        def features(self, encoded):
            return encoded[:, :2]

    with pytest.raises(
        IncompatibleError,
        match=r"^no module gives the features before the head, which Captum's LayerGradCam needs$",
    ):
        feature_module(Sliced(), image)
