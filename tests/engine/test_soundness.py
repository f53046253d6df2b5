from __future__ import annotations

import pytest
import torch
from torch import nn

from bcos_eval.engine.soundness import unsoundness
from bcos_eval.errors import InputError

IMAGES = torch.rand(3, 3, 8, 8, generator=torch.Generator().manual_seed(0))


class Sound(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(192, 6)
        self.norm = nn.BatchNorm1d(6)

    def encode(self, images):
        return images

    def probability(self, logits):
        return logits.softmax(-1)

    def forward(self, encoded):
        return self.norm(self.layer(encoded.flatten(1)))


class Random(Sound):
    def forward(self, encoded):
        return super().forward(encoded + torch.rand_like(encoded))


class WithDropout(Sound):
    def forward(self, encoded):
        return super().forward(nn.functional.dropout(encoded, training=True))


class Counting(Sound):
    n_calls = 0

    def forward(self, encoded):
        self.n_calls += 1
        return super().forward(encoded) + self.n_calls


class Centred(Sound):
    def forward(self, encoded):
        logits = super().forward(encoded)
        return logits - logits.mean(0)


class Logits(Sound):
    def probability(self, logits):
        return logits


class NotFinite(Sound):
    def forward(self, encoded):
        return super().forward(encoded).index_fill(1, torch.tensor([0]), torch.nan)


@pytest.mark.parametrize(
    ("network", "problem"),
    [
        (Random, "gives other logits when it is shown the same images again"),
        (WithDropout, "gives other logits when it is shown the same images again"),
        (Counting, "gives other logits when it is shown the same images again"),
        (Centred, "gives an image other logits alone than in a batch"),
        (Logits, "gives probabilities from "),
    ],
)
def test_an_impossible_network_is_named(network, problem):
    torch.manual_seed(0)
    assert unsoundness(network().eval(), IMAGES).startswith(problem)


@pytest.mark.parametrize("network", [Sound, NotFinite])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_possible_network_is_let_pass(network, dtype):
    torch.manual_seed(0)
    assert unsoundness(network().eval().to(dtype), IMAGES.to(dtype)) is None


def test_normalisation_left_in_training_mode_is_tried_in_evaluation_mode_as_it_will_be_used():
    torch.manual_seed(0)
    assert unsoundness(Sound().train(), IMAGES) is None


def test_a_run_refuses_an_impossible_network(toy_run, monkeypatch):
    network = toy_run.networks["bcos_toy"]
    features = type(network).features
    monkeypatch.setattr(
        type(network), "features", lambda self, encoded: features(self, encoded + torch.rand_like(encoded))
    )
    with pytest.raises(
        InputError, match=r"^model 'bcos_toy' gives other logits when it is shown the same images "
    ):
        toy_run(metrics=("energy_pg",))
