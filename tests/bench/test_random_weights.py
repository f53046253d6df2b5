from __future__ import annotations

import pytest
import torch

from bcos_eval.bcos import linear_summary
from bcos_eval.bench.case import scenes
from bcos_eval.bench.random_weights import calibrate, condition
from bcos_eval.models import load_model


@pytest.fixture
def network():
    return load_model("bcos_resnet18", "random", "shapes")


def test_calibrated_norms_give_unit_variance_on_the_images(network):
    encoded = network.encode(scenes(4, 64, seed=0))
    calibrate(network, encoded)
    outputs = []
    network.bn1.register_forward_hook(lambda _module, _args, output: outputs.append(output))
    network(encoded)
    variance = outputs[0].var((0, 2, 3), unbiased=False)
    assert variance.median().item() == pytest.approx(1, abs=0.05)
    assert not any(module.training for module in network.modules())
    assert network.bn1.momentum == 0.1


def test_rounding_errors_stay_small_in_a_conditioned_network(network):
    encoded = network.encode(scenes(4, 64, seed=0))
    condition(network, encoded)
    target = torch.tensor([[0]])
    single = linear_summary(network, encoded[:1], target)
    double = linear_summary(network.double(), encoded[:1].double(), target)
    # 18 layers in float32 with a machine epsilon of 1e-7.
    assert (single - double).abs().max() <= 3e-6 * double.abs().max()


def test_signals_do_not_fade_in_a_conditioned_network(network):
    encoded = network.encode(scenes(4, 64, seed=0))
    faded = (network(encoded) - network.logit_bias).abs().max()
    condition(network, encoded)
    kept = (network(encoded) - network.logit_bias).abs().max()
    assert kept > 100 * faded
    assert kept > 1e-3
