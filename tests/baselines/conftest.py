"""Toy networks that the explainers' tests share."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from bcos_eval.bcos import BcosConv2d
from bcos_eval.models.classifier import Classifier
from bcos_eval.models.vit import BcosSimpleViT, SimpleViT, ViTLayout

N_CLASSES = 5


class ToyNetwork(Classifier):
    """Two convolutions with batch norm and ReLU, pooling, a linear head."""

    def __init__(self):
        super().__init__(is_bcos=False, num_classes=N_CLASSES, input_size=24)
        self.conv1 = nn.Conv2d(3, 6, 3, stride=2, padding=1)
        self.norm = nn.BatchNorm2d(6)
        self.relu = nn.ReLU(inplace=True)
        self.conv2 = nn.Conv2d(6, 7, 3, padding=1)
        self.classifier = nn.Linear(7, N_CLASSES)

    def features(self, encoded):
        # The ReLU module runs twice, as in torchvision's residual blocks.
        return self.relu(self.conv2(self.relu(self.norm(self.conv1(encoded)))))

    def head(self, features):
        return self.classifier(features.mean((-2, -1)))


class ToyBcosNetwork(Classifier):
    """Two B-cos convolutions and a 1×1 B-cos classifier before global pooling."""

    def __init__(self):
        super().__init__(is_bcos=True, num_classes=N_CLASSES, input_size=24)
        self.conv1 = BcosConv2d(6, 8, 3, stride=2, padding=1)
        self.conv2 = BcosConv2d(8, 8, 3, padding=1)
        self.classifier = BcosConv2d(8, N_CLASSES, 1)

    @property
    def logit_bias(self):
        return -1.0

    def features(self, encoded):
        return self.conv2(self.conv1(encoded))

    def head(self, features):
        return self.classifier(features).mean((-2, -1)) + self.logit_bias


class LinearNetwork(nn.Module):
    """A user's own network without name, features or head: every logit is linear in the pixels."""

    def __init__(self, side):
        super().__init__()
        self.linear = nn.Linear(3 * side * side, N_CLASSES)

    def encode(self, images):
        return 2 * images - 1

    def probability(self, logits):
        return logits

    def forward(self, encoded):
        return self.linear(encoded.flatten(1))


def _seeded(build, *args):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = build(*args).eval()
        for module in model.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.running_mean.normal_(0, 0.1)
                module.running_var.uniform_(0.5, 1.5)
    return model


@pytest.fixture
def standard():
    return _seeded(ToyNetwork)


@pytest.fixture
def bcos():
    return _seeded(ToyBcosNetwork)


TOY_LAYOUT = ViTLayout(dim=16, heads=2, depth=3, patch=4, input_size=24)


@pytest.fixture
def standard_transformer():
    return _seeded(SimpleViT, TOY_LAYOUT, N_CLASSES)


@pytest.fixture
def bcos_transformer():
    return _seeded(BcosSimpleViT, TOY_LAYOUT, N_CLASSES)


@pytest.fixture
def linear():
    return _seeded(LinearNetwork, 24)


@pytest.fixture
def images():
    # Coloured tiles under noise, so that there are superpixels.
    generator = torch.Generator().manual_seed(1)
    tiles = torch.rand(3, 3, 6, 6, generator=generator).repeat_interleave(4, 2).repeat_interleave(4, 3)
    return 0.9 * tiles + 0.1 * torch.rand(3, 3, 24, 24, generator=generator)


@pytest.fixture
def targets():
    return torch.tensor([[0, 1, 4], [2, 2, 0], [3, 1, 0]])
