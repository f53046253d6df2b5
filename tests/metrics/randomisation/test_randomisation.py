from __future__ import annotations

import copy
import re
from collections.abc import Callable
from dataclasses import dataclass, replace

import pytest
import torch
from scipy import stats
from torch import nn

from bcos_eval.contract.explained_model import ExplainedModel
from bcos_eval.contract.plugins import find_explainer
from bcos_eval.data import load_dataset
from bcos_eval.metrics import Status, covered_fraction, layers_by_use
from bcos_eval.metrics.randomisation.randomisation import cascade, reset_layer
from bcos_eval.models import load_model

SIDE = 6


class Scale(nn.Module):
    """A norm-like layer that cannot be initialised again."""

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(4))

    def forward(self, x):
        return x * self.weight[:, None, None]


class Backwards(nn.Module):
    """Registers its layers in another order than it uses them; one is never used."""

    def __init__(self):
        super().__init__()
        self.last = nn.Conv2d(4, 2, 1)
        self.spare = nn.Linear(3, 5)
        self.third = nn.Conv2d(4, 4, 3, padding=1)
        self.norm = nn.BatchNorm2d(4)
        self.scale = Scale()
        self.second = nn.Conv2d(4, 4, 3, padding=1)
        self.first = nn.Conv2d(3, 4, 3, padding=1)

    def forward(self, x):
        return self.last(self.scale(self.norm(self.third(self.second(self.first(x)))))).mean((2, 3))


@dataclass(frozen=True)
class Toy:
    """A network with input gradients times input as explainer, or any function instead."""

    network: nn.Module
    explainer: Callable | None = None

    def encode(self, images):
        return images

    def logits(self, encoded):
        return self.network(encoded)

    def explain(self, images, targets):
        if self.explainer is not None:
            return self.explainer(self.network, images, targets)
        x = images.clone().requires_grad_()
        maps = []
        for column in targets.T:
            logit = self.network(x).gather(1, column[:, None]).sum()
            maps.append((torch.autograd.grad(logit, x)[0] * images).sum(1))
        return torch.stack(maps, 1)

    def with_network(self, network):
        return replace(self, network=network)


def _toy(explainer=None):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return Toy(Backwards().eval(), explainer)


def _images(n=2):
    return torch.rand(n, 3, SIDE, SIDE, generator=torch.Generator().manual_seed(1))


def test_layers_come_in_the_order_of_use_without_unused_and_fixed_ones():
    toy = _toy()
    layers = layers_by_use(toy.network, lambda: toy.logits(_images(1)))
    assert [name for name, _ in layers] == ["first", "second", "third", "norm", "last"]


def test_the_covered_fraction_leaves_out_what_cannot_be_reset():
    toy = _toy()
    layers = layers_by_use(toy.network, lambda: toy.logits(_images(1)))
    total = sum(parameter.numel() for parameter in toy.network.parameters())
    assert covered_fraction(toy.network, layers) == pytest.approx(1 - (3 * 5 + 5 + 4) / total)


def test_every_parameter_of_a_bcos_resnet_is_covered():
    model = load_model("bcos_resnet18")
    layers = layers_by_use(model, lambda: model(torch.zeros(1, 6, 64, 64)))
    assert covered_fraction(model, layers) == 1
    assert [layers[0][0], layers[-1][0]] == ["conv1.linear", "fc.linear"]


def test_hooks_are_gone_after_a_failing_pass():
    network = _toy().network
    with pytest.raises(ZeroDivisionError):
        layers_by_use(network, lambda: 1 / 0)
    assert all(not module._forward_hooks for module in network.modules())


def test_layers_of_one_shape_get_different_weights_from_name_and_seed():
    weights = {}
    for name, seed in (("second", 0), ("third", 0), ("second", 1), ("again", 0)):
        layer = nn.Conv2d(4, 4, 3)
        reset_layer("second" if name == "again" else name, layer, seed=seed)
        weights[name, seed] = layer.weight
    assert torch.equal(weights["second", 0], weights["again", 0])
    assert not torch.equal(weights["second", 0], weights["third", 0])
    assert not torch.equal(weights["second", 0], weights["second", 1])


def test_the_global_generator_is_left_as_it_was():
    layer = nn.Linear(3, 3)
    before = torch.random.get_rng_state()
    reset_layer("layer", layer, seed=0)
    assert torch.equal(before, torch.random.get_rng_state())


def test_the_cascade_starts_at_the_output_and_ends_with_every_layer_changed():
    toy = _toy()
    original = {name: value.clone() for name, value in toy.network.named_parameters()}
    changed = []
    for stage in cascade(toy, _images(1)[0], n_stages=5):
        now = dict(stage.network.named_parameters())
        changed.append({name.split(".")[0] for name in now if not torch.equal(now[name], original[name])})
    # A norm starts with the weights that it has here.
    assert changed == [
        {"last"},
        {"last"},
        {"last", "third"},
        {"last", "third", "second"},
        {"last", "third", "second", "first"},
    ]
    assert all(torch.equal(value, original[name]) for name, value in toy.network.named_parameters())


def test_fewer_stages_end_at_the_same_network():
    ends = []
    for n_stages in (1, 2, 5, 99):
        *_, last = cascade(_toy(), _images(1)[0], n_stages=n_stages)
        ends.append(torch.cat([parameter.flatten() for parameter in last.network.parameters()]))
    assert all(torch.equal(end, ends[0]) for end in ends)


def test_running_statistics_start_again():
    toy = _toy()
    toy.network.norm.running_var.fill_(7.0)
    *_, last = cascade(toy, _images(1)[0], n_stages=1)
    assert (last.network.norm.running_var == 1).all()
    assert (toy.network.norm.running_var == 7).all()


def test_scores_equal_the_definition_in_loops(score):
    toy, images, targets = _toy(), _images(), torch.tensor([[0, 1], [1, 0]])
    maps = toy.explain(images, targets)
    presets = ("cascading", "absolute", "full")
    scored = {
        preset: score(f"randomisation/{preset}", maps, images=images, targets=targets, predict=toy)
        for preset in presets
    }
    copied = _toy()
    stages = []
    for name in ("last", "norm", "third", "second", "first"):
        reset_layer(name, getattr(copied.network, name), seed=0)
        stages.append(copied.explain(images, targets))
    for b in range(2):
        for k in range(2):
            a = maps[b, k].flatten()
            signed = [stats.spearmanr(a, stage[b, k].flatten()).statistic for stage in stages]
            absolute = [stats.spearmanr(a.abs(), stage[b, k].abs().flatten()).statistic for stage in stages]
            assert scored["cascading"].curves[b, k].tolist() == pytest.approx(signed, abs=1e-9)
            assert scored["cascading"].values[b, k].item() == pytest.approx(sum(signed) / 5, abs=1e-9)
            assert scored["absolute"].values[b, k].item() == pytest.approx(sum(absolute) / 5, abs=1e-9)
            assert scored["full"].values[b, k].item() == pytest.approx(signed[-1], abs=1e-9)


def test_a_map_that_ignores_the_network_scores_one(score):
    images = _images()
    maps = images.sum(1, keepdim=True)
    toy = _toy(lambda network, images, targets: images.sum(1, keepdim=True))
    scored = score("randomisation", maps, images=images, predict=toy)
    assert scored.values.tolist() == [[pytest.approx(1.0)], [pytest.approx(1.0)]]


def test_a_constant_map_of_the_randomised_network_has_nothing_in_common(score):
    toy = _toy(lambda network, images, targets: torch.zeros(*targets.shape, SIDE, SIDE))
    scored = score("randomisation", torch.rand(1, 1, SIDE, SIDE), predict=toy)
    assert scored.values.item() == 0
    assert scored.status == ((Status.OK,),)


def test_zero_and_constant_maps_have_no_score(score):
    maps = torch.stack([torch.zeros(SIDE, SIDE), torch.ones(SIDE, SIDE)])[None]
    scored = score("randomisation", maps, images=_images(1), predict=_toy())
    assert scored.values.isnan().all()
    assert scored.status == ((Status.ZERO_MAP, Status.CONSTANT_MAP),)


def test_a_hole_in_the_map_of_a_randomised_network_is_nonfinite(score):
    toy = _toy(lambda network, images, targets: torch.full((*targets.shape, SIDE, SIDE), torch.nan))
    scored = score("randomisation", torch.rand(1, 1, SIDE, SIDE), predict=toy)
    assert scored.values.isnan().all()
    assert scored.status == ((Status.NONFINITE,),)


def test_no_stage_is_refused(score):
    message = "randomisation/cascading.n_stages=0 is not allowed; use 1 or more"
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        score("randomisation", torch.rand(1, 1, SIDE, SIDE), predict=_toy(), n_stages=0)


def test_a_network_without_layers_to_reset_is_refused(score):
    message = "no layer of Flatten has reset_parameters(); give its layers one to randomise them."
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        score("randomisation", torch.rand(1, 1, SIDE, SIDE), predict=Toy(nn.Flatten()))


def test_a_trained_bcos_network_is_left_alone_and_its_map_forgets(score):
    sample = load_dataset("shapes")[0]
    images, targets = sample.image[None], torch.tensor([[sample.label]])
    predict = ExplainedModel(load_model("bcos_resnet18"), find_explainer("bcos"))
    maps = predict.explain(images, targets)
    scored = score("randomisation/full", maps, images=images, targets=targets, predict=predict)
    assert abs(scored.values.item()) < 0.5
    assert torch.equal(predict.explain(images, targets), maps)


def test_the_map_of_every_stage_belongs_to_its_weights():
    # A network's explainer may keep what it derives from the weights: a fresh copy has nothing kept.
    sample = load_dataset("shapes")[0]
    images, targets = sample.image[None], torch.tensor([[sample.label]])
    predict = ExplainedModel(load_model("bcos_resnet18"), find_explainer("bcos"))
    maps = []
    for stage in cascade(predict, images[0], n_stages=3):
        fresh = stage.with_network(copy.deepcopy(stage.network))
        assert torch.equal(stage.explain(images, targets), fresh.explain(images, targets))
        maps.append(stage.explain(images, targets))
    assert not torch.equal(maps[0], maps[1])
    assert not torch.equal(maps[1], maps[2])
