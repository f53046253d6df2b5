from __future__ import annotations

import pytest
import torch

from bcos_eval.baselines import EXPLAINERS

RELATIVE, BCOS = EXPLAINERS["bcos_relative"], EXPLAINERS["bcos"]


@pytest.fixture(params=["bcos", "bcos_transformer"])
def model(request):
    return request.getfixturevalue(request.param)


def test_it_is_the_contribution_to_the_target_minus_the_mean_over_all_classes(model, images, targets):
    every_class = BCOS(model, images, torch.arange(5).expand(3, -1))
    expected = BCOS(model, images, targets) - every_class.mean(1, keepdim=True)
    maps = RELATIVE(model, images, targets)
    torch.testing.assert_close(maps, expected, rtol=1e-5, atol=1e-6 * expected.abs().max().item())


def test_maps_sum_to_the_lead_over_the_mean_logit(bcos, images, targets):
    with torch.no_grad():
        logits = bcos(bcos.encode(images))
    lead = logits.gather(1, targets) - logits.mean(1, keepdim=True)
    torch.testing.assert_close(RELATIVE(bcos, images, targets).sum((2, 3)), lead, rtol=1e-5, atol=1e-6)


def test_the_maps_of_all_classes_cancel(model, images):
    maps = RELATIVE(model, images, torch.arange(5).expand(3, -1))
    torch.testing.assert_close(maps.sum(1), torch.zeros(3, 24, 24), rtol=0, atol=1e-6)
