"""Networks with functional, hidden or broken parts, other channels, and images that carry a graph."""

from __future__ import annotations

from importlib.util import find_spec

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from bcos_eval.baselines import EXPLAINERS
from bcos_eval.errors import IncompatibleError

FEW = {
    "lime": {"n_samples": 20, "kernel_size": 1},
    "kernelshap": {"n_samples": 20, "kernel_size": 1},
    "gradientshap": {"n_samples": 3},
    "intgrad": {"n_steps": 3},
    "smoothgrad": {"n_samples": 2},
    "rise": {"n_masks": 10},
    "occlusion": {"size": 8, "stride": 8},
    "extremal": {"n_steps": 2, "areas": "0.3"},
}
POST_HOC = sorted(
    name
    for name, e in EXPLAINERS.items()
    if e.info.family not in ("bcos", "attention", "control", "user") and (name != "lrp" or find_spec("zennit"))
)
THROUGH_RELUS = ("gb", "gb_absolute", "guided_gradcam", "deeplift")


class Net(nn.Module):
    """A small network; `functional` says how its second ReLU is called."""

    def __init__(self, functional="no", channels=3):
        super().__init__()
        self.channels, self.functional = channels, functional
        self.conv1, self.conv2 = nn.Conv2d(channels, 6, 3, stride=2, padding=1), nn.Conv2d(6, 7, 3, padding=1)
        self.relu, self.classifier = nn.ReLU(), nn.Linear(7, 5)

    def encode(self, images):
        grey = images.mean(1, keepdim=True)
        return {1: grey, 2: images[:, :2], 3: images, 4: torch.cat([images, grey], 1)}[self.channels] - 0.5

    def probability(self, logits):
        return logits.softmax(-1)

    def features(self, encoded):
        x = self.conv2(self.relu(self.conv1(encoded)))
        match self.functional:
            case "F.relu":
                return F.relu(x)
            case "in place":
                x.relu_()
                return x
            case "clamp in a function of its own":
                return Hidden.apply(x)
            case _:
                return self.relu(x)

    def head(self, features):
        return self.classifier(features.mean((-2, -1)))

    def forward(self, encoded):
        return self.head(self.features(encoded))


class Hidden(torch.autograd.Function):
    """A ReLU that no graph shows."""

    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return x.clamp(min=0)

    @staticmethod
    def backward(ctx, gradient):
        return gradient * (ctx.saved_tensors[0] > 0)


def net(*args, **kwargs):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return Net(*args, **kwargs).eval()


def explained(name, model, images, targets, **params):
    return EXPLAINERS[name](model, images, targets, **FEW.get(name, {}), **params)


@pytest.mark.parametrize("functional", ["F.relu", "in place"])
@pytest.mark.parametrize("name", THROUGH_RELUS)
def test_a_relu_that_is_a_function_counts_as_one_that_is_a_module(name, functional, images, targets):
    expected = explained(name, net(), images, targets)
    torch.testing.assert_close(explained(name, net(functional), images, targets), expected)


@pytest.mark.parametrize("name", THROUGH_RELUS)
def test_an_operation_that_may_hide_a_relu_is_refused(name, images, targets):
    with pytest.raises(IncompatibleError, match=r"operations that may hide some \(HiddenBackward\)"):
        explained(name, net("clamp in a function of its own"), images, targets)


def test_a_network_whose_relus_are_all_functions_is_guided(images, targets):
    class Functional(nn.Module):
        input_size = 24

        def __init__(self, inner):
            super().__init__()
            self.conv1, self.conv2, self.classifier = inner.conv1, inner.conv2, inner.classifier
            self.encode, self.probability = inner.encode, inner.probability

        def forward(self, encoded):
            features = F.relu(self.conv2(F.relu(self.conv1(encoded))))
            return self.classifier(features.mean((-2, -1)))

    for name in ("gb", "deeplift"):
        expected = explained(name, net(), images, targets)
        torch.testing.assert_close(explained(name, Functional(net()), images, targets), expected)


def test_deeplift_refuses_where_its_sum_is_far_off(images, targets):
    class Squared(Net):
        def head(self, features):
            return super().head((10 * features).square())

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = Squared().eval()
    with pytest.raises(IncompatibleError, match=r"^the contributions of deeplift sum to .*; use intgrad$"):
        explained("deeplift", model, images, targets)


@pytest.mark.parametrize("name", POST_HOC)
def test_logits_that_are_nan_give_maps_that_are_not_finite(name, images):
    model = net()
    with torch.no_grad():
        model.classifier.weight[3] = torch.nan
    maps = explained(name, model, images[:1], torch.tensor([[3, 1]]))
    assert not maps[0, 0].isfinite().all()


@pytest.mark.parametrize("channels", [1, 2, 4])
@pytest.mark.parametrize("name", POST_HOC)
def test_the_input_may_have_any_number_of_channels(name, channels, images, targets):
    maps = explained(name, net(channels=channels), images, targets)
    assert maps.shape == (3, 3, 24, 24)
    assert maps.isfinite().all()


@pytest.mark.parametrize("name", POST_HOC)
def test_images_that_carry_a_graph_give_the_same_maps_without_one(name, images, targets):
    expected = explained(name, net(), images, targets)
    maps = explained(name, net(), images.clone().requires_grad_(), targets)
    assert not maps.requires_grad
    assert torch.equal(maps, expected)


def test_rollout_refuses_attention_of_which_a_part_is_fused(images, targets):
    class Fused(nn.Module):
        def __init__(self):
            super().__init__()
            self.patches, self.classifier = nn.Conv2d(3, 8, 4, 4), nn.Linear(8, 5)
            self.attention = nn.MultiheadAttention(8, 2, batch_first=True)

        def encode(self, images):
            return images

        def forward(self, encoded):
            x = self.patches(encoded).flatten(2).mT
            x = x + self.attention(x, x, x)[0]
            x = x + F.scaled_dot_product_attention(x, x, x)
            return self.classifier(x.mean(1))

    for name in ("rollout", "attention_gradient"):
        with pytest.raises(
            IncompatibleError, match=r"fused into F\.scaled_dot_product_attention and cannot be seen"
        ):
            explained(name, Fused().eval(), images, targets)


def test_absolute_gradients_are_the_sum_of_the_channels_absolute_values(images, targets):
    model = net()
    x = model.encode(images).requires_grad_()
    for b in range(3):
        for k in range(3):
            (gradient,) = torch.autograd.grad(model(x)[b, targets[b, k]], x)
            maps = explained("grad_absolute", model, images, targets)
            torch.testing.assert_close(maps[b, k], gradient[b].abs().sum(0))
    guided = explained("gb_absolute", model, images, targets)
    assert (guided >= explained("gb", model, images, targets).abs() - 1e-7).all()
