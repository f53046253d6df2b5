from __future__ import annotations

import copy

import pytest
import torch
import torchvision
from torch import Tensor, nn

from bcos_eval.bcos import (
    BatchNormUncentred2d,
    BcosConv2d,
    GroupNorm2d,
    add_inverse,
    contribution_map,
    linear_summary,
)
from bcos_eval.errors import InputError
from bcos_eval.models import bcosify

QUICK = ["squeezenet1_1", "shufflenet_v2_x0_5"]
SLOW = [
    "alexnet",
    "convnext_tiny",
    "densenet121",
    "efficientnet_b0",
    "googlenet",
    "inception_v3",
    "mnasnet0_5",
    "mobilenet_v2",
    "mobilenet_v3_large",
    "mobilenet_v3_small",
    "regnet_x_400mf",
    "regnet_y_400mf",
    "resnet18",
    "resnext50_32x4d",
    "vgg11",
    "vgg11_bn",
    "efficientnet_v2_s",
]
N_CLASSES = 7


def standard(name: str) -> nn.Module:
    torch.manual_seed(0)
    extra = {"init_weights": False} if name in ("googlenet", "inception_v3") else {}
    return getattr(torchvision.models, name)(weights=None, num_classes=N_CLASSES, **extra)


def calibrated(network: nn.Module, encoded: Tensor) -> nn.Module:
    """One training pass sets the running variances, without which the signal of fresh weights fades."""
    for module in network.modules():
        if isinstance(module, BatchNormUncentred2d):
            module.momentum = 1.0
        if isinstance(module, nn.Dropout):
            module.p = 0.0
    network.train()
    with torch.no_grad():
        network(encoded)
    return network.eval()


@pytest.mark.parametrize("name", [*QUICK, *(pytest.param(name, marks=pytest.mark.slow) for name in SLOW)])
@pytest.mark.parametrize("carry_over", [False, True])
def test_the_linear_summary_of_a_converted_network_is_complete(name: str, carry_over: bool):
    network = bcosify(standard(name), carry_over=carry_over).double()
    encoded = network.encode(torch.rand(2, 3, 96, 80, dtype=torch.float64))
    calibrated(network, encoded)
    targets = torch.tensor([[0, 3], [5, 6]])
    with torch.no_grad():
        evidence = network(encoded).gather(1, targets) - network.logit_bias
        assert torch.equal(network(encoded), network.head(network.features(encoded)))
    maps = contribution_map(linear_summary(network, encoded, targets), encoded[:, None])
    assert float(evidence.abs().min()) > 1e-9
    # Looser than usual in float64: of the deepest networks the evidence is a small remainder of large terms.
    torch.testing.assert_close(maps.sum((2, 3)), evidence, rtol=1e-7, atol=0)


@pytest.mark.parametrize("norm", ["batch_centred", "layer", "instance", "position", "all"])
def test_other_norms_take_the_place_of_batch_norm(norm: str):
    network = bcosify(standard("resnet18"), norm=norm)
    assert not any(isinstance(module, BatchNormUncentred2d) for module in network.modules())
    with torch.no_grad():
        assert network(network.encode(torch.rand(1, 3, 64, 64))).shape == (1, N_CLASSES)
    if norm == "layer":
        assert network.features.bn1.num_groups == 1
        assert isinstance(network.features.bn1, GroupNorm2d)


def test_the_exponent_reaches_every_transform():
    network = bcosify(standard("squeezenet1_1"), b=1.5)
    assert {module.b for module in network.modules() if isinstance(module, BcosConv2d)} == {1.5}


def test_weights_are_carried_over_and_the_stem_is_halved_and_mirrored():
    model = standard("resnet18").eval()
    network = bcosify(model, carry_over=True)
    stem = network.features.conv1.linear.weight
    assert torch.equal(stem[:, :3], model.conv1.weight / 2)
    assert torch.equal(stem[:, 3:], -model.conv1.weight / 2)
    assert torch.equal(
        network.features.layer1.get_submodule("0.conv2").linear.weight, model.layer1[0].conv2.weight
    )
    assert torch.equal(network.classifier[0].linear.weight[:, :, 0, 0], model.fc.weight)
    # With the mirrored channels, the stem sees the same contrasts as before.
    images = torch.rand(1, 3, 32, 32)
    ours = nn.functional.conv2d(add_inverse(images), stem, stride=2)
    constant = model.conv1.weight.sum((1, 2, 3))[:, None, None] / 2
    theirs = nn.functional.conv2d(images, model.conv1.weight, stride=2)
    torch.testing.assert_close(ours, theirs - constant, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("name", [*QUICK, *(pytest.param(name, marks=pytest.mark.slow) for name in SLOW)])
def test_every_convolution_of_every_family_is_carried_over(name: str):
    model = standard(name)
    network = bcosify(model, carry_over=True)
    before = {key: part for key, part in model.named_modules() if isinstance(part, nn.Conv2d | nn.Linear)}
    for key, transform in network.features.named_modules():
        if not isinstance(transform, BcosConv2d):
            continue
        weight = before[key if key in before else key.removesuffix(".0")].weight
        if weight.shape[1] == 3 and transform.linear.weight.shape[1] == 6:
            weight = torch.cat([weight, -weight], 1) / 2
        assert torch.equal(transform.linear.weight, weight)
    classifier = [part.linear.weight for part in network.classifier if isinstance(part, BcosConv2d)]
    last = [part.weight for part in before.values() if part.weight.shape[0] == N_CLASSES][-1]
    assert torch.equal(classifier[-1].flatten(1), last.flatten(1))


def test_fresh_weights_and_the_model_given_are_untouched():
    model = standard("resnet18")
    before = copy.deepcopy(model.state_dict())
    network = bcosify(model)
    assert not torch.equal(
        network.features.get_submodule("layer1.0.conv2").linear.weight, model.layer1[0].conv2.weight
    )
    assert model.training
    for key, value in model.state_dict().items():
        assert torch.equal(value, before[key])


def test_the_first_layer_of_vggs_classifier_sees_seven_by_seven_positions():
    with torch.device("meta"):
        network = bcosify(standard("vgg11_bn"))
    shapes = [tuple(m.linear.weight.shape) for m in network.classifier if isinstance(m, BcosConv2d)]
    assert shapes == [(4096, 512, 7, 7), (4096, 4096, 1, 1), (N_CLASSES, 4096, 1, 1)]


class Recurrent(nn.Module):
    def __init__(self):
        super().__init__()
        self.stem = nn.Conv2d(3, 4, 3)
        self.memory = nn.LSTM(4, 4)
        self.shift = nn.Parameter(torch.zeros(4, 1, 1))
        self.fc = nn.Linear(4, 2)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x) + self.shift
        x = self.memory(x.flatten(2).mT)[0]
        return self.fc(torch.sin(x).mean(1))


class Unpooled(nn.Sequential):
    def __init__(self):
        super().__init__(nn.Conv2d(3, 4, 3), nn.Flatten(), nn.Linear(36, 2))


class Brancher(nn.Module):
    def __init__(self):
        super().__init__()
        self.inner = nn.Linear(3, 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.inner(x) if x.sum() > 0 else x


def test_what_has_no_bcos_form_is_refused_by_name():
    with pytest.raises(InputError) as caught:
        bcosify(Recurrent())
    assert str(caught.value) == (
        "cannot convert Recurrent: no B-cos form for module 'memory' (LSTM), "
        "parameter 'shift', 'sin' in its forward pass; convertible are convolutions, linear layers, norms, "
        "activations, pooling, sums and concatenations"
    )


def test_attention_is_refused_by_name():
    with torch.device("meta"):
        model = torchvision.models.VisionTransformer(32, 8, 1, 2, 16, 32)
    with pytest.raises(InputError) as caught:
        bcosify(model)
    assert str(caught.value).startswith(
        "cannot convert VisionTransformer: no B-cos form for "
        "module 'encoder.layers.encoder_layer_0.self_attention' (MultiheadAttention), "
    )


def test_a_network_without_global_pooling_is_refused():
    with pytest.raises(InputError) as caught:
        bcosify(Unpooled())
    assert str(caught.value) == (
        "cannot convert a network without global average pooling before or after its classifier"
    )


def test_a_forward_pass_that_depends_on_values_is_refused():
    with pytest.raises(InputError, match=r"^cannot convert Brancher: its forward pass cannot be traced \(.*\); "):
        bcosify(Brancher())


def test_an_unknown_norm_is_refused():
    with pytest.raises(InputError, match=r"^unknown norm 'batch'; did you mean "):
        bcosify(standard("resnet18"), norm="batch")
