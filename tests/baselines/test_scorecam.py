"""Score-CAM against its algorithm written out."""

from __future__ import annotations

import torch
from torch.nn import functional as F

from bcos_eval.baselines import EXPLAINERS


def test_maps_equal_a_loop_over_channels_and_targets(bcos, images, targets):
    maps = EXPLAINERS["scorecam"](bcos, images, targets)
    encoded = bcos.encode(images[1:2])
    features = bcos.features(encoded).detach()
    for k in range(3):
        total = torch.zeros(24, 24)
        for channel in range(features.shape[1]):
            large = F.interpolate(features[:, channel : channel + 1], (24, 24), mode="bilinear")
            mask = (large - large.min()) / (large.max() - large.min())
            total += bcos.probability(bcos(encoded * mask))[0, targets[1, k]].item() * large[0, 0]
        torch.testing.assert_close(maps[1, k], total.relu(), rtol=1e-5, atol=1e-6)


def test_a_constant_channel_counts_as_nothing(standard, images, targets):
    maps = []
    with torch.no_grad():
        standard.conv2.weight[3] = 0
        standard.classifier.weight[:, 3] = 0
        for constant in (0.0, 2.0):
            standard.conv2.bias[3] = constant
            maps.append(EXPLAINERS["scorecam"](standard, images, targets))
    assert maps[0].any()
    assert torch.equal(maps[0], maps[1])


def test_a_layer_by_name_gives_the_same_as_the_features(bcos, images, targets):
    named = EXPLAINERS["scorecam"](bcos, images, targets, layer="conv2")
    torch.testing.assert_close(named, EXPLAINERS["scorecam"](bcos, images, targets))
