from __future__ import annotations

import pytest
import torch
import torchvision

from bcos_eval.bcos import DynamicLinear, contribution_map, linear_summary, target_gradients
from bcos_eval.models import load_model
from bcos_eval.models.registry import model_info

STANDARD = ["resnet18", "resnet34", "resnet50", "resnet101", "resnet152", "resnext50_32x4d"]


@pytest.fixture(scope="module", params=["bcos_resnet18", "bcos_resnet50"])
def bcos_case(request):
    torch.manual_seed(1)
    # float64: the signal of an untrained unit-norm network fades to where float32 rounding shows.
    model = load_model(request.param, weights="random", dataset="shapes").double()
    encoded = model.encode(torch.rand(2, 3, 64, 64, dtype=torch.float64))
    return model, encoded, torch.tensor([[0, 3, 5], [1, 2, 7]])


@pytest.mark.parametrize("name", STANDARD)
def test_standard_networks_equal_torchvisions(name: str):
    reference = getattr(torchvision.models, name)(weights=None).eval()
    model = load_model(name, weights="random")
    assert list(model.state_dict()) == list(reference.state_dict())
    reference.load_state_dict(model.state_dict())
    x = torch.rand(1, 3, 64, 64)
    with torch.no_grad():
        torch.testing.assert_close(model(x), reference(x))


def test_linear_summary_is_complete(bcos_case):
    model, encoded, targets = bcos_case
    maps = contribution_map(linear_summary(model, encoded, targets), encoded[:, None])
    with torch.no_grad():
        evidence = model(encoded).gather(1, targets) - model.logit_bias
    torch.testing.assert_close(maps.sum((2, 3)), evidence, rtol=1e-9, atol=0)


@pytest.mark.parametrize("dataset", ["shapes", "tiny_imagenet20"])
@pytest.mark.parametrize("name", ["bcos_resnet18", "bcos_resnet50"])
def test_linear_summary_of_the_shipped_weights_is_complete_in_float32(name: str, dataset: str):
    model = load_model(name, dataset=dataset)
    encoded = model.encode(torch.rand(4, 3, 64, 64, generator=torch.Generator().manual_seed(0)))
    targets = torch.arange(3).expand(4, 3)
    maps = contribution_map(linear_summary(model, encoded, targets), encoded[:, None])
    with torch.no_grad():
        evidence = model(encoded).gather(1, targets) - model.logit_bias
    # Relative to at least 1 (protocols, section 11): the evidence for an absent class is a small difference.
    residual = (maps.double().sum((2, 3)) - evidence).abs() / evidence.abs().clamp(min=1)
    assert float(residual.max()) <= 1e-5


@pytest.mark.parametrize("name", ["bcos_resnet18", "bcos_resnet50"])
def test_plain_input_times_gradient_has_nearly_the_same_sum_and_another_map(name: str):
    # Trained weights: only there is the signal large against the constants under the patch norms' roots,
    # which break homogeneity.
    model = load_model(name, dataset="shapes")
    encoded = model.encode(torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(0)))
    targets = torch.tensor([[0, 3, 5], [1, 2, 7]])
    maps = contribution_map(linear_summary(model, encoded, targets), encoded[:, None])
    x = encoded.clone().requires_grad_()
    plain = contribution_map(target_gradients(model(x), x, targets), encoded[:, None])
    torch.testing.assert_close(plain.sum((2, 3)), maps.sum((2, 3)), rtol=0.05, atol=0.05)
    difference = (plain - maps).flatten(2).norm(dim=2) / maps.flatten(2).norm(dim=2)
    assert float(difference.min()) > 0.3


def test_targets_of_one_call_equal_one_call_per_target(bcos_case):
    model, encoded, targets = bcos_case
    together = linear_summary(model, encoded, targets)
    alone = [linear_summary(model, encoded, targets[:, k : k + 1])[:, 0] for k in range(3)]
    torch.testing.assert_close(together, torch.stack(alone, 1))


def test_the_model_is_left_as_it_was(bcos_case):
    model, encoded, targets = bcos_case
    linear_summary(model, encoded, targets)
    assert not any(m.explaining for m in model.modules() if isinstance(m, DynamicLinear))
    assert all(p.grad is None and not p.requires_grad for p in model.parameters())


def test_forward_is_head_of_features_and_takes_any_image_side(bcos_case):
    model, _, _ = bcos_case
    x = model.encode(torch.rand(1, 3, 192, 192, dtype=torch.float64))
    with torch.no_grad():
        assert torch.equal(model(x), model.head(model.features(x)))


@pytest.mark.parametrize("name", ["bcos_resnet50", "resnet50"])
def test_small_variant_keeps_the_topology(name: str):
    small = model_info(name).build("small", 20)
    full = model_info(name).build("imagenet", 1000)
    assert list(small.state_dict()) == list(full.state_dict())
    assert small.input_size == 64
