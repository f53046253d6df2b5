"""LRP against zennit's own canonizers and attributor on torchvision's networks, and against conservation."""

from __future__ import annotations

import re

import pytest
import torch
from torch import nn
from torch.nn import functional as F
from torchvision import models as theirs

from bcos_eval.baselines import EXPLAINERS, lrp
from bcos_eval.errors import IncompatibleError, InputError
from bcos_eval.models import model_info

zennit = pytest.importorskip("zennit", reason="zennit is not installed")

from zennit.attribution import Gradient  # noqa: E402
from zennit.canonizers import SequentialMergeBatchNorm  # noqa: E402
from zennit.composites import COMPOSITES  # noqa: E402
from zennit.torchvision import ResNetCanonizer, VGGCanonizer  # noqa: E402

LRP = EXPLAINERS["lrp"]
COMPOSITE_NAMES = LRP.info.limits.choices["composite"]


class Wrapped(nn.Module):
    """A network of torchvision as a user's own."""

    def __init__(self, network):
        super().__init__()
        self.network = network

    def encode(self, images):
        return (images - 0.4) / 0.3

    def probability(self, logits):
        return logits.softmax(-1)

    def forward(self, x):
        return self.network(x)


def seeded(build):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = build().eval()
        for module in model.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.running_mean.normal_(0, 0.1)
                module.running_var.uniform_(0.5, 1.5)
                nn.init.uniform_(module.weight, 0.5, 1.5)
                nn.init.normal_(module.bias, std=0.1)
    return model


def by_zennit(model, images, targets, name, canonizer):
    """zennit's attributor, one target of one image after the other."""
    box = {}
    if name == "epsilon_gamma_box":
        black = torch.zeros(1, 3, *images.shape[-2:])
        box = {"low": model.encode(black), "high": model.encode(black + 1)}
    maps = torch.zeros(*targets.shape, *images.shape[-2:])
    for b, image in enumerate(images):
        for k, target in enumerate(targets[b]):
            encoded = model.encode(image[None]).requires_grad_()
            composite = COMPOSITES[name](canonizers=[canonizer()], **box)

            def logit_alone(output, target=target):
                return F.one_hot(target[None], output.shape[1]) * output.detach()

            with Gradient(model, composite, attr_output=logit_alone) as attributor:
                _, relevance = attributor(encoded)
            maps[b, k] = relevance[0].sum(0)
    return maps


def small_resnet():
    return Wrapped(theirs.ResNet(theirs.resnet.BasicBlock, [1, 1, 1, 1], num_classes=5))


@pytest.mark.parametrize("name", COMPOSITE_NAMES)
def test_residual_networks_get_zennit_s_maps(name, images, targets):
    model = seeded(small_resnet)
    maps = LRP(model, images[:2], targets[:2], composite=name)
    expected = by_zennit(model, images[:2], targets[:2], name, ResNetCanonizer)
    torch.testing.assert_close(maps, expected, rtol=1e-3, atol=1e-5 * float(expected.abs().max()))


def test_bottlenecks_get_zennit_s_maps(images, targets):
    model = seeded(lambda: Wrapped(theirs.ResNet(theirs.resnet.Bottleneck, [1, 1, 1, 1], num_classes=5)))
    maps = LRP(model, images[:1], targets[:1])
    expected = by_zennit(model, images[:1], targets[:1], "epsilon_plus_flat", ResNetCanonizer)
    torch.testing.assert_close(maps, expected, rtol=1e-3, atol=1e-5 * float(expected.abs().max()))


def test_plain_sequences_get_zennit_s_maps(images, targets):
    plan = [8, "M", 8, "M"]
    model = seeded(
        lambda: Wrapped(
            nn.Sequential(
                theirs.vgg.make_layers(plan, batch_norm=True),
                nn.AdaptiveAvgPool2d(2),
                nn.Flatten(),
                nn.Linear(32, 5),
            )
        )
    )
    for canonizer in (VGGCanonizer, SequentialMergeBatchNorm):
        expected = by_zennit(model, images, targets, "epsilon_gamma_box", canonizer)
        maps = LRP(model, images, targets, composite="epsilon_gamma_box")
        torch.testing.assert_close(maps, expected, rtol=1e-3, atol=1e-5 * float(expected.abs().max()))


class Branches(nn.Module):
    """Without biases: two branches that are added and a mean, all of them called as functions or as modules."""

    def __init__(self, functional):
        super().__init__()
        self.functional = functional
        self.one, self.two = nn.Conv2d(3, 6, 3, bias=False), nn.Conv2d(6, 6, 1, bias=False)
        self.relu, self.pool, self.out = nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Linear(6, 5, bias=False)
        self.sum = zennit.layer.Sum()

    def encode(self, images):
        return images - 0.3

    def probability(self, logits):
        return logits.softmax(-1)

    def forward(self, x):
        x = self.relu(self.one(x))
        if self.functional == "modules":
            x = self.sum(torch.stack([x, self.relu(self.two(x))], -1))
            return self.out(self.pool(x).flatten(1))
        if self.functional == "in place":
            y = self.relu(self.two(x))
            y += x
            return self.out(F.adaptive_avg_pool2d(y, 1).flatten(1))
        return self.out((x + F.relu(self.two(x))).mean((2, 3)))


@pytest.mark.parametrize("functional", ["functions", "in place"])
@pytest.mark.parametrize("name", COMPOSITE_NAMES)
def test_sums_and_means_as_functions_count_as_modules(name, functional, images, targets):
    expected = LRP(seeded(lambda: Branches("modules")), images, targets, composite=name)
    maps = LRP(seeded(lambda: Branches(functional)), images, targets, composite=name)
    torch.testing.assert_close(maps, expected, rtol=1e-4, atol=1e-6 * float(expected.abs().max()))


@pytest.mark.parametrize("name", ["epsilon_plus", "epsilon_plus_flat", "epsilon_gamma_box"])
def test_relevance_is_conserved_where_there_are_no_biases(name, images, targets):
    """The others lose the negative share where nothing is negative."""
    model = seeded(lambda: Branches("functions"))
    maps = LRP(model, images, targets, composite=name)
    with torch.no_grad():
        logits = model(model.encode(images)).gather(1, targets)
    # The stabilisers of 1e-6 take a share of it, for logits of about a tenth.
    torch.testing.assert_close(maps.sum((2, 3)), logits, rtol=5e-3, atol=1e-4)
    assert (logits < 0).any()
    assert (logits > 0).any()


def test_a_linear_network_shares_out_as_input_times_gradient(images, targets):
    class Linear(nn.Module):
        def __init__(self):
            super().__init__()
            self.linear = nn.Linear(3 * 24 * 24, 5, bias=False)

        def encode(self, images):
            return images

        def probability(self, logits):
            return logits

        def forward(self, x):
            return self.linear(x.flatten(1))

    model = seeded(Linear)
    maps = LRP(model, images, targets, composite="epsilon_plus")
    expected = EXPLAINERS["ixg"](model, images, targets)
    torch.testing.assert_close(maps, expected, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("name", ["resnet18", "densenet121", "vgg11_bnu", "mobilenet_v2", "squeezenet1_1"])
def test_standard_networks_by_name_are_explained(name):
    """Inside, logits with folded norms are held to those without: those of DenseNets are folded rightly."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = seeded(lambda: model_info(name).build("small" if "net_v2" not in name else "imagenet", 5))
    images = torch.rand(1, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    maps = LRP(model, images, torch.tensor([[1, 2]]))
    assert maps.isfinite().all()
    assert (maps != 0).any()


@pytest.mark.parametrize(
    ("name", "what"),
    [
        ("efficientnet_b0", "computes Mul between its layers"),
        ("convnext_tiny", "computes NativeLayerNorm between its layers"),
        ("vitc_ti_patch1_14", "computes .* between its layers"),
        ("vit_b_32", "has attention"),
    ],
)
def test_networks_that_compute_something_else_between_layers_are_refused(name, what):
    model = seeded(lambda: model_info(name).build("small", 5))
    model.name = name
    images = torch.rand(1, 3, model.input_size, model.input_size)
    message = rf"^method 'lrp' has rules for the layers of CNNs and '{name}' {what}, where relevance .*gradcam$"
    with pytest.raises(IncompatibleError, match=message):
        LRP.check(model, {})
    with pytest.raises(IncompatibleError, match=message):
        lrp.layerwise_relevance(model, images, torch.tensor([[1]]))


def test_b_cos_networks_are_refused(bcos, images, targets):
    message = (
        "method 'lrp' has rules for the layers of CNNs and 'ToyBcosNetwork' is a B-cos network, where relevance "
        "would be passed on wrongly; use bcos"
    )
    with pytest.raises(IncompatibleError, match=f"^{re.escape(message)}$"):
        LRP(bcos, images, targets)


def test_a_convolution_that_others_read_too_is_not_folded_silently(images, targets):
    class Shared(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv, self.norm, self.out = nn.Conv2d(3, 6, 3), nn.BatchNorm2d(6), nn.Linear(6, 5)

        def encode(self, images):
            return images

        def probability(self, logits):
            return logits

        def forward(self, x):
            x = self.conv(x)
            return self.out((self.norm(x) + x).mean((2, 3)))

    with pytest.raises(IncompatibleError, match=r"'Shared' is another function with folded batch norms"):
        LRP(seeded(Shared), images, targets)


def test_the_network_is_as_before_after_an_exception_amid_the_rules(images, targets, monkeypatch):
    model = seeded(small_resnet)
    before = {key: value.clone() for key, value in model.state_dict().items()}

    def fail(*_args):
        raise RuntimeError("out of memory")

    monkeypatch.setattr(lrp, "_relevances", fail)
    with pytest.raises(RuntimeError, match="out of memory"):
        LRP(model, images, targets)
    assert model.network.conv1.bias is None
    assert [*before] == [*model.state_dict()]
    assert all(torch.equal(value, before[key]) for key, value in model.state_dict().items())
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in model.modules())


def test_an_unknown_composite_is_refused(standard, images, targets):
    with pytest.raises(InputError, match=r"^lrp\.composite=flat is not allowed; use epsilon_plus_flat or "):
        LRP(standard, images, targets, composite="flat")
