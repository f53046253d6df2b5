from __future__ import annotations

import pytest
from torch import nn

from bcos_eval.bcos import BcosConv2d, DynamicLinear, explanation_mode


def flags(model: nn.Module) -> list[bool]:
    return [module.explaining for module in model.modules() if isinstance(module, DynamicLinear)]


def network() -> nn.Module:
    return nn.Sequential(BcosConv2d(6, 4, 3), nn.Sequential(BcosConv2d(4, 4, 1)))


def test_every_module_explains_inside_and_none_outside():
    model = network()
    with explanation_mode(model):
        assert flags(model) == [True, True]
    assert flags(model) == [False, False]


def test_the_model_is_restored_after_an_exception():
    model = network()
    with pytest.raises(KeyError), explanation_mode(model):
        raise KeyError
    assert flags(model) == [False, False]


def test_nested_blocks_leave_the_outer_one_explaining():
    model = network()
    with explanation_mode(model):
        with explanation_mode(model):
            pass
        assert flags(model) == [True, True]
    assert flags(model) == [False, False]


def test_a_module_that_was_explaining_stays_so():
    model = network()
    model[0].explaining = True
    with explanation_mode(model):
        pass
    assert flags(model) == [True, False]
