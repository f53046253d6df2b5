from __future__ import annotations

import math

import pytest
import torch

from bcos_eval.bcos import LogitLayer, default_logit_bias


def test_default_bias_gives_every_class_probability_one_over_c():
    assert math.isclose(default_logit_bias(1000), -6.906754778648554)
    probability = 1 / (1 + math.exp(-default_logit_bias(20)))
    assert math.isclose(probability, 1 / 20)


def test_temperature_divides_before_the_bias_is_added():
    out = LogitLayer(bias=-2.0, temperature=4.0)(torch.tensor([8.0, 0.0]))
    assert out.tolist() == [0.0, -2.0]


def test_a_temperature_of_zero_is_refused():
    with pytest.raises(ValueError, match=r"^the logit temperature must be positive, got 0$"):
        LogitLayer(temperature=0)
