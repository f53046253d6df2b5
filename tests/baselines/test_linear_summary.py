"""The B-cos explanation: complete, and different from plain input × gradient."""

from __future__ import annotations

import torch

from bcos_eval.baselines import EXPLAINERS


def test_maps_sum_to_the_logit_without_its_bias(bcos, images, targets):
    maps = EXPLAINERS["bcos"](bcos.double(), images.double(), targets)
    logits = bcos(bcos.encode(images.double())).gather(1, targets)
    torch.testing.assert_close(maps.sum((-2, -1)).double(), logits - bcos.logit_bias, rtol=1e-5, atol=1e-6)


def test_maps_equal_the_frozen_linear_map_target_by_target(bcos, images, targets):
    maps = EXPLAINERS["bcos"](bcos, images, targets)
    for module in (bcos.conv1, bcos.conv2, bcos.classifier):
        module.explaining = True
    for k in range(3):
        x = bcos.encode(images).requires_grad_()
        bcos(x).gather(1, targets[:, k : k + 1]).sum().backward()
        torch.testing.assert_close(maps[:, k], (x * x.grad).sum(1).detach())


def test_maps_differ_from_input_times_gradient(bcos, images, targets):
    ours = EXPLAINERS["bcos"](bcos, images, targets)
    plain = EXPLAINERS["ixg"](bcos, images, targets)
    assert (ours - plain).abs().max() > 0.01 * ours.abs().max()
