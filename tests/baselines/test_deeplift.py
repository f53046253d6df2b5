"""DeepLIFT against Captum, and its sum."""

from __future__ import annotations

import pytest
import torch
from captum.attr import DeepLift
from torch import nn

from bcos_eval.baselines import EXPLAINERS


class SeparateReLUs(nn.Module):
    """The toy network with a ReLU module per use, which Captum's DeepLift needs."""

    def __init__(self, network):
        super().__init__()
        self.network = network
        self.relu1, self.relu2 = nn.ReLU(), nn.ReLU()

    def forward(self, encoded):
        toy = self.network
        return toy.head(self.relu2(toy.conv2(self.relu1(toy.norm(toy.conv1(encoded))))))


@pytest.mark.filterwarnings("ignore:Setting forward, backward hooks")
@pytest.mark.filterwarnings("ignore:Input Tensor .* did not already require gradients")
def test_maps_equal_captum_target_by_target(standard, images, targets):
    maps = EXPLAINERS["deeplift"](standard, images, targets)
    captum = DeepLift(SeparateReLUs(standard))
    encoded = standard.encode(images)
    for k in range(3):
        expected = captum.attribute(encoded, torch.zeros_like(encoded), target=targets[:, k]).sum(1).detach()
        torch.testing.assert_close(maps[:, k], expected, rtol=1e-5, atol=1e-6)


def test_maps_sum_to_the_difference_to_the_encoded_zero(standard, images, targets):
    maps = EXPLAINERS["deeplift"](standard, images, targets)
    encoded = standard.encode(images)
    difference = (standard(encoded) - standard(torch.zeros_like(encoded))).gather(1, targets).detach()
    torch.testing.assert_close(maps.sum((-2, -1)), difference, rtol=1e-4, atol=1e-5)  # float32 sums


def test_the_image_takes_one_forward_pass_for_all_targets(standard, images, targets):
    seen = []
    handle = standard.register_forward_hook(lambda _module, inputs, _output: seen.append(len(inputs[0])))
    EXPLAINERS["deeplift"](standard, images, targets)
    handle.remove()
    assert seen == [1, 3]


def test_relus_work_in_place_again_afterwards(standard, images, targets):
    EXPLAINERS["deeplift"](standard, images, targets)
    assert standard.relu.inplace
