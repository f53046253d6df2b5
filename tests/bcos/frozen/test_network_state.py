"""What counts as a change of a network."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from bcos_eval.bcos import BcosConv2d, explanation_mode
from bcos_eval.bcos.frozen.network_state import NetworkState


@pytest.fixture
def model() -> nn.Module:
    # One tensor that is longer than the probe of the fingerprint, and some that are shorter.
    return nn.Sequential(BcosConv2d(6, 128, 1), nn.BatchNorm2d(128), BcosConv2d(128, 64, 3)).eval()


def test_what_explaining_does_to_a_network_is_no_change(model: nn.Module):
    before = NetworkState.of(model)
    model.requires_grad_(False)
    with explanation_mode(model):
        model(torch.rand(1, 6, 4, 4))
    assert before.equals(NetworkState.of(model))


def one_weight(model: nn.Module) -> None:
    model[2].linear.weight.data[3, 5, 1, 1] += 0.01


def two_weights_exchanged(model: nn.Module) -> None:
    weights = model[2].linear.weight.data.view(-1)
    first, last = weights[0].clone(), weights[-1].clone()
    weights[0], weights[-1] = last, first


def statistics(model: nn.Module) -> None:
    model[1].running_mean.data[7] = 0.5


def an_equal_parameter(model: nn.Module) -> None:
    model[1].weight = nn.Parameter(model[1].weight.detach().clone())


def an_attribute(model: nn.Module) -> None:
    model[1].eps = 0.5


def the_mode(model: nn.Module) -> None:
    model.train()


def a_module(model: nn.Module) -> None:
    model[1] = nn.Identity()


@pytest.mark.parametrize(
    "change",
    [one_weight, two_weights_exchanged, statistics, an_equal_parameter, an_attribute, the_mode, a_module],
)
def test_every_other_change_is_seen_even_through_data(model: nn.Module, change):
    before = NetworkState.of(model)
    change(model)
    assert not before.equals(NetworkState.of(model))


def test_a_network_without_tensors_has_a_state():
    model = nn.ReLU()
    assert NetworkState.of(model).equals(NetworkState.of(model))
    assert not NetworkState.of(model).equals(NetworkState.of(nn.ReLU()))


def test_weights_made_in_inference_mode_have_a_state():
    with torch.inference_mode():
        model = nn.Linear(3, 2)
    assert NetworkState.of(model).equals(NetworkState.of(model))
