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


class Pooled(nn.Module):
    """Max pooling of features that the reference does not make constant: padding and biases differ by place."""

    input_size, is_bcos, name = 16, False, "pooled"

    def __init__(self, pool):
        super().__init__()
        with torch.random.fork_rng():
            torch.manual_seed(3)
            self.layers = nn.Sequential(
                nn.Conv2d(3, 8, 3, padding=1),
                nn.ReLU(),
                nn.Conv2d(8, 8, 3, padding=1),
                nn.ReLU(),
                pool,
                nn.Conv2d(8, 8, 3, padding=1),
                nn.ReLU(),
                pool,
                nn.Flatten(),
                nn.LazyLinear(5),
            ).double()
            self.layers(torch.zeros(1, 3, 16, 16, dtype=torch.float64))

    def encode(self, images):
        return images - 0.5

    def forward(self, encoded):
        return self.layers(encoded)


POOLS = {"apart": nn.MaxPool2d(2), "overlapping": nn.MaxPool2d(3, stride=2, padding=1)}


@pytest.fixture(params=POOLS)
def pooled(request):
    network = Pooled(POOLS[request.param]).eval()
    images = torch.rand(4, 3, 16, 16, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    return network, images, torch.tensor([[0, 3], [1, 2], [4, 0], [2, 2]])


def test_maps_of_pooling_networks_sum_to_the_difference(pooled):
    network, images, targets = pooled
    encoded = network.encode(images)
    difference = (network(encoded) - network(torch.zeros_like(encoded))).gather(1, targets).detach()
    maps = EXPLAINERS["deeplift"](network, images, targets).double()
    torch.testing.assert_close(maps.sum((-2, -1)), difference, rtol=1e-5, atol=1e-6)  # maps are float32


@pytest.mark.filterwarnings("ignore:Setting forward, backward hooks")
@pytest.mark.filterwarnings("ignore:Input Tensor .* did not already require gradients")
def test_maps_through_one_pooling_equal_captum():
    """Of two poolings in a row Captum's maps miss the difference to the reference."""
    network = Pooled(nn.MaxPool2d(2)).eval()
    del network.layers[2:4]
    network.layers[5] = nn.Identity()
    network.layers[7] = nn.Linear(512, 5).double()
    images = torch.rand(1, 3, 16, 16, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    encoded, targets = network.encode(images), torch.tensor([[3]])
    expected = DeepLift(network).attribute(encoded, torch.zeros_like(encoded), target=3).sum(1).detach()
    maps = EXPLAINERS["deeplift"](network, images, targets)[:, 0]
    torch.testing.assert_close(maps, expected.float(), rtol=1e-5, atol=1e-7)


class OneWindow(nn.Module):
    """The maximum of four numbers that are .0, .3, .4, .4 at the reference."""

    input_size, is_bcos, name = 2, False, "window"

    def encode(self, images):
        return images

    def forward(self, encoded):
        at_reference = torch.tensor([[0.0, 0.3], [0.4, 0.4]])
        return nn.functional.max_pool2d(encoded[:, :1] + at_reference, 2).relu().flatten(1)


@pytest.mark.parametrize(
    ("changes", "contributions"),
    [
        # The maximum rises from .4 to .5: to where it is now.
        ([0.5, 0.1, 0.0, -0.2], [0.1, 0, 0, 0]),
        # It falls from .4 to .2: to where it was.
        ([0.1, -0.1, -0.3, -0.4], [0, 0, -0.2, 0]),
        # It falls from .4 to .3, where .4 was twice: to the one that is the maximum now.
        ([-0.2, -0.1, -0.3, -0.1], [0, 0, 0, -0.1]),
        # It stays, elsewhere than before: to nobody.
        ([0.4, 0.0, -0.3, -0.2], [0, 0, 0, 0]),
    ],
)
def test_a_maximum_that_rises_or_falls_is_due_to_the_place_that_decided(changes, contributions):
    image = torch.zeros(1, 3, 2, 2)
    image[0, 0] = torch.tensor(changes).reshape(2, 2)
    maps = EXPLAINERS["deeplift"](OneWindow(), image, torch.zeros(1, 1, dtype=torch.long))
    torch.testing.assert_close(maps.flatten(), torch.tensor(contributions, dtype=torch.float32))
