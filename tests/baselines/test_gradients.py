"""Input gradients against Captum, target by target, and closed forms."""

from __future__ import annotations

import pytest
import torch
from captum.attr import InputXGradient

from bcos_eval.baselines import EXPLAINERS
from bcos_eval.baselines.gradients import input_gradients


@pytest.fixture(params=["standard", "bcos"])
def model(request):
    return request.getfixturevalue(request.param)


@pytest.mark.filterwarnings("ignore:Input Tensor .* did not already require gradients")
def test_input_times_gradient_equals_captum_target_by_target(model, images, targets):
    maps = EXPLAINERS["ixg"](model, images, targets)
    for k in range(3):
        expected = InputXGradient(model).attribute(model.encode(images), target=targets[:, k]).sum(1)
        torch.testing.assert_close(maps[:, k], expected.detach())


def test_gradient_equals_autograd_of_each_logit(model, images, targets):
    maps = EXPLAINERS["grad"](model, images, targets)
    for b in range(3):
        for k in range(3):
            x = model.encode(images[b : b + 1]).requires_grad_()
            model(x)[0, targets[b, k]].backward()
            torch.testing.assert_close(maps[b, k], x.grad[0].sum(0))


def test_gradient_of_a_linear_network_is_its_weight(linear, images, targets):
    maps = EXPLAINERS["grad"](linear, images, targets)
    weights = linear.linear.weight.detach().view(-1, 3, 24, 24).sum(1)
    torch.testing.assert_close(maps, weights[targets])


def test_one_forward_pass_serves_all_targets(standard, images, targets):
    passes = []
    handle = standard.register_forward_hook(lambda *_args: passes.append(1))
    input_gradients(standard, standard.encode(images), targets)
    handle.remove()
    assert len(passes) == 1


def test_no_target_gives_no_map(standard, images):
    empty = torch.empty(3, 0, dtype=torch.int64)
    assert EXPLAINERS["ixg"](standard, images, empty).shape == (3, 0, 24, 24)
