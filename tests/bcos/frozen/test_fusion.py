"""Frozen twins against the networks they stand for."""

from __future__ import annotations

import copy
import gc
import weakref

import pytest
import torch
from torch import Tensor, nn
from torchvision.models import resnet18

from bcos_eval.bcos import (
    BatchNormUncentred2d,
    BcosConv2d,
    explanation_mode,
    linear_summary,
    target_gradients,
)
from bcos_eval.bcos.frozen.fusion import frozen_twin
from bcos_eval.models import Classifier
from bcos_eval.models.registry import model_info

BCOS = ["resnet18", "resnext50_32x4d", "densenet121", "vgg11_bnu", "convnext_tiny", "convnext_tiny_bnu"]
RELU = ["resnet18", "resnext50_32x4d", "densenet121", "vgg11_bnu"]
WITHOUT = ["bcos_vitc_ti_patch1_14", "bcos_simple_vit_ti_patch16_224", "convnext_tiny"]
TARGETS = torch.tensor([[0, 3], [19, 3]])


def network(name: str, **options: torch.dtype) -> Classifier:
    """A small network with norms that scale, shift and turn signs."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = model_info(name).build("small", 20).to(**options).eval()
        for module in model.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.running_mean.normal_(0, 0.1)
                module.running_var.uniform_(0.01, 0.1)
                nn.init.uniform_(module.weight, -1.5, 1.5)
    return model


def plain_gradients(model: nn.Module, encoded: Tensor, *, explaining: bool) -> Tensor:
    x = encoded.clone().requires_grad_()
    if not explaining:
        return target_gradients(model(x), x, TARGETS)
    with explanation_mode(model):
        logits = model(x)
    return target_gradients(logits, x, TARGETS)


def twin_gradients(model: nn.Module, encoded: Tensor, *, explaining: bool) -> Tensor:
    twin = frozen_twin(model)
    return plain_gradients(
        twin.network, encoded.contiguous(memory_format=twin.memory_format), explaining=explaining
    )


def relative_error(ours: Tensor, expected: Tensor) -> float:
    return float((ours - expected).abs().max() / expected.abs().max())


def encoded_images(model: Classifier, height: int = 48, width: int = 48) -> Tensor:
    images = torch.rand(2, 3, height, width, generator=torch.Generator().manual_seed(1))
    return model.encode(images.to(next(model.parameters()).dtype))


@pytest.mark.parametrize("explaining", [True, False])
@pytest.mark.parametrize("name", BCOS)
def test_gradients_of_a_bcos_network_are_those_of_its_twin_in_both_modes(name: str, explaining: bool):
    model = network(f"bcos_{name}", dtype=torch.float64)
    encoded = encoded_images(model)
    expected = plain_gradients(model, encoded, explaining=explaining)
    assert expected.abs().max() > 0
    assert relative_error(twin_gradients(model, encoded, explaining=explaining), expected) < 1e-9


@pytest.mark.parametrize("name", RELU)
def test_logits_of_a_relu_network_are_those_of_its_twin_to_the_last_bit(name: str):
    model = network(name)
    encoded = encoded_images(model)
    assert torch.equal(frozen_twin(model).network(encoded), model(encoded))
    expected = plain_gradients(model, encoded, explaining=False)
    assert relative_error(twin_gradients(model, encoded, explaining=False), expected) < 1e-5


@pytest.mark.parametrize("name", ["bcos_resnet18", "bcos_densenet121", "bcos_convnext_tiny_bnu"])
def test_trained_like_networks_agree_in_float32_too(name: str):
    model = network(name)
    calibrate(model)
    encoded = encoded_images(model)
    expected = plain_gradients(model.double(), encoded.double(), explaining=True)
    ours = linear_summary(model.float(), encoded, TARGETS)
    plain = plain_gradients(model, encoded, explaining=True)
    # Rounding of the plain network against float64, with a margin.
    assert relative_error(ours, expected) < 4 * relative_error(plain, expected) + 1e-6


def calibrate(model: Classifier) -> None:
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.momentum = 1.0
    with torch.no_grad():
        model.train()(encoded_images(model))
    model.eval()


@pytest.mark.parametrize("name", ["bcos_resnet18", "resnet18", "bcos_vgg11_bnu"])
def test_odd_and_oblong_images_are_explained_like_others(name: str):
    model = network(name, dtype=torch.float64)
    encoded = encoded_images(model, 51, 38)
    for explaining in (True, False):
        expected = plain_gradients(model, encoded, explaining=explaining)
        assert relative_error(twin_gradients(model, encoded, explaining=explaining), expected) < 1e-9


@pytest.mark.parametrize("name", WITHOUT)
def test_networks_that_cannot_be_fused_have_no_twin(name: str):
    assert frozen_twin(network(name)) is None


def stack(*layers: nn.Module) -> nn.Module:
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten()).eval()


@pytest.mark.parametrize(
    "model",
    [
        stack(BcosConv2d(6, 8, 3, b=1.5), BatchNormUncentred2d(8)),
        stack(BcosConv2d(6, 8, 3, max_out=2), BcosConv2d(8, 8, 3)),
        stack(BcosConv2d(6, 8, 3), nn.ReLU()),
        stack(BcosConv2d(6, 8, 3), nn.MaxPool2d(2)),
        stack(BcosConv2d(6, 8, 3).requires_grad_(False), nn.Conv2d(8, 8, 1)).train(),
    ],
    ids=["another exponent", "MaxOut", "ReLU", "max pooling", "training mode"],
)
def test_layers_that_would_make_a_difference_keep_the_network_as_it_is(model: nn.Module):
    assert frozen_twin(model) is None


class UserNetwork(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = BcosConv2d(6, 20, 3)
        self.seen = []

    def forward(self, x: Tensor) -> Tensor:
        self.seen.append(x)
        return self.conv(x).mean((2, 3))


def test_forward_passes_of_others_are_not_traced():
    model = UserNetwork().eval()
    assert frozen_twin(model) is None
    assert model.seen == []


def test_hooks_explanation_mode_and_autocast_keep_the_network_as_it_is():
    model = network("bcos_resnet18")
    handle = model.layer1.register_forward_hook(lambda *_args: None)
    assert frozen_twin(model) is None
    handle.remove()
    with explanation_mode(model):
        assert frozen_twin(model) is None
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert frozen_twin(model) is None
    assert frozen_twin(model) is not None


@pytest.mark.parametrize(
    "layer",
    [
        BcosConv2d(6, 8, 3, stride=2, padding=1),
        BcosConv2d(6, 8, 4, stride=4),
        BcosConv2d(6, 8, 5, stride=3, padding=1),
        BcosConv2d(6, 8, 3, padding=2, dilation=2),
        BcosConv2d(6, 8, 3, padding=3),
        BcosConv2d(6, 12, 3, stride=2, groups=3),
        BcosConv2d(6, 12, 3, padding=1, groups=3),
        BcosConv2d(6, 6, 7, padding=3, groups=6),
        BcosConv2d(6, 8, (1, 3), padding=(0, 1)),
        BcosConv2d(6, 8, 1, stride=2),
    ],
    ids=str,
)
@pytest.mark.parametrize("explaining", [True, False])
def test_every_shape_of_convolution_is_differentiated_exactly(layer: BcosConv2d, explaining: bool):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        first = BatchNormUncentred2d(6)
        last = BatchNormUncentred2d(layer.linear.out_channels)
        for norm in (first, last):
            nn.init.uniform_(norm.weight, -2, 2)
            norm.running_var.uniform_(0.5, 2)
        model = stack(first, layer, last, BcosConv2d(len(last.weight), 20, 1)).double()
        encoded = torch.randn(2, 6, 13, 16, dtype=torch.float64)
    expected = plain_gradients(model, encoded, explaining=explaining)
    assert relative_error(twin_gradients(model, encoded, explaining=explaining), expected) < 1e-9


def test_torchvisions_own_network_is_frozen_too():
    model = resnet18(num_classes=20).eval()
    x = torch.rand(2, 3, 64, 64)
    expected = plain_gradients(model, x, explaining=False)
    assert relative_error(twin_gradients(model, x, explaining=False), expected) < 1e-5


def test_a_twin_is_made_once_and_goes_with_its_network():
    model = network("bcos_resnet18")
    twin = frozen_twin(model)
    assert frozen_twin(model) is twin
    model.requires_grad_(False)
    assert frozen_twin(model) is twin
    gone = weakref.ref(twin.network)
    del twin, model
    gc.collect()
    assert gone() is None


def scale_in_place(model: Classifier) -> None:
    with torch.no_grad():
        model.layer1[0].bn1.weight.mul_(2)


def scale_unseen(model: Classifier) -> None:
    model.layer1[0].bn1.weight.data.mul_(2)


def permute_unseen(model: Classifier) -> None:
    weight = model.layer2[0].conv1.linear.weight
    weight.data.copy_(weight.data.flip(0, 2))


def replace_data(model: Classifier) -> None:
    model.conv1.linear.weight.data = torch.randn_like(model.conv1.linear.weight)


def replace_parameter(model: Classifier) -> None:
    model.conv1.linear.weight = nn.Parameter(torch.randn_like(model.conv1.linear.weight))


def replace_module(model: Classifier) -> None:
    model.layer1[1] = nn.Identity()


def change_statistics(model: Classifier) -> None:
    model.bn1.running_var.fill_(0.5)


def change_exponent(model: Classifier) -> None:
    model.layer3[0].conv1.b = 1.5


def change_bias(model: Classifier) -> None:
    model.layer4[0].bn1.eps = 0.1


def load_state(model: Classifier) -> None:
    model.load_state_dict({key: value * 2 for key, value in model.state_dict().items()})


@pytest.mark.parametrize(
    "change",
    [
        scale_in_place,
        scale_unseen,
        permute_unseen,
        replace_data,
        replace_parameter,
        replace_module,
        change_statistics,
        change_exponent,
        change_bias,
        load_state,
    ],
)
def test_a_changed_network_is_explained_as_it_is_now(change):
    model = network("bcos_resnet18", dtype=torch.float64)
    encoded = encoded_images(model)
    before = linear_summary(model, encoded, TARGETS)
    change(model)
    after = linear_summary(model, encoded, TARGETS)
    assert relative_error(after, plain_gradients(model, encoded, explaining=True)) < 1e-9
    assert relative_error(after, before) > 1e-4


def test_many_weights_one_after_the_other_never_meet_an_older_twin():
    model = network("bcos_resnet18", dtype=torch.float64)
    encoded = encoded_images(model)
    for seed in range(4):
        generator = torch.Generator().manual_seed(seed)
        weight = model.conv1.linear.weight
        drawn = torch.randn(weight.shape, generator=generator, dtype=weight.dtype)
        del weight
        model.conv1.linear.weight = nn.Parameter(drawn)
        ours = linear_summary(model, encoded, TARGETS)
        assert relative_error(ours, plain_gradients(model, encoded, explaining=True)) < 1e-9


def attribute_names(model: nn.Module) -> dict[str, set[str]]:
    # Explanation mode leaves its switch behind, switched off.
    return {path: set(vars(module)) - {"explaining"} for path, module in model.named_modules()}


@pytest.mark.parametrize("name", ["bcos_densenet121", "densenet121", "bcos_vitc_ti_patch1_14"])
def test_the_network_is_left_as_it_was(name: str):
    model = network(name)
    untouched = copy.deepcopy(model)
    attributes = attribute_names(model)
    parameters = [(id(parameter), parameter._version) for parameter in model.parameters()]
    linear_summary(model, encoded_images(model), TARGETS)
    assert attribute_names(model) == attributes
    assert [(id(parameter), parameter._version) for parameter in model.parameters()] == parameters
    assert all(parameter.requires_grad and parameter.grad is None for parameter in model.parameters())
    assert not any(getattr(module, "explaining", False) for module in model.modules())
    for key, value in untouched.state_dict().items():
        assert torch.equal(model.state_dict()[key], value)
        assert model.state_dict()[key].stride() == value.stride()


def test_a_batch_is_explained_as_its_images_are_alone():
    model = network("bcos_resnet18", dtype=torch.float64)
    encoded = encoded_images(model)
    together = linear_summary(model, encoded, TARGETS)
    alone = [linear_summary(model, encoded[b : b + 1], TARGETS[b : b + 1]) for b in range(2)]
    assert relative_error(together, torch.cat(alone)) < 1e-12


def test_zero_images_have_finite_gradients():
    model = network("bcos_resnet18")
    zeros = torch.zeros(2, 6, 48, 48)
    for explaining in (True, False):
        assert torch.isfinite(twin_gradients(model, zeros, explaining=explaining)).all()
