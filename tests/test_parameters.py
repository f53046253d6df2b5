"""Every parameter of every explainer and metric refuses what it does not take, before anything is computed."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from bcos_eval.baselines import EXPLAINERS
from bcos_eval.contract.metric import METRICS
from bcos_eval.contract.params import limits_of
from bcos_eval.contract.plugins import explainers, metrics
from bcos_eval.errors import InputError

explainers()
metrics()

# Any text may name a layer, or an explainer to be looked up; the shares of `areas` are read by the explainer, the
# rules of grids by their stimulus.
FREE_TEXT = {"layer", "of", "areas", "rule"}

EXPLAINER_PARAMS = sorted((name, key) for name, entry in EXPLAINERS.items() for key in entry.all_defaults)
METRIC_PARAMS = sorted((name, key) for name, entry in METRICS.items() for key in entry.info.defaults)


class Untouchable(nn.Module):
    """A network that nobody may run."""

    name, weights_id, is_bcos, num_classes, input_size = "untouchable", "none", True, 2, 8

    def encode(self, images):
        raise AssertionError("an image was encoded before the parameters were checked")

    features = head = logits = probability = forward = explain = encode


def wrong_values(default, limits, key):
    """Values of another type, and of the right type outside the limits."""
    other_types = [st.none(), st.lists(st.integers(), max_size=2), st.binary(max_size=2)]
    if isinstance(default, bool):
        return st.one_of(*other_types, st.integers(), st.text())
    if isinstance(default, str):
        allowed = limits.choices.get(key, ())
        words = [] if key in FREE_TEXT else [st.text().filter(lambda text: text not in allowed)]
        return st.one_of(*other_types, *words, st.integers(), st.booleans())
    wrong = [*other_types, st.text(), st.booleans(), st.sampled_from([math.nan, math.inf, -math.inf])]
    allowed = limits.ranges[key]
    numbers = st.integers() if isinstance(default, int) else st.floats(allow_nan=False, allow_infinity=False)
    outside = numbers.filter(lambda value: value not in allowed)
    near = [allowed.low - 1, -allowed.low - 1, *([allowed.low] if allowed.above else []), allowed.high + 1]
    finite = [type(default)(value) for value in near if math.isfinite(value) and value not in allowed]
    wrong += [outside, *([st.sampled_from(finite)] if finite else [])]
    if isinstance(default, int):
        wrong.append(st.floats())
    return st.one_of(*wrong)


def explainer_limits(name):
    return EXPLAINERS[name].info.limits


def metric_limits(name):
    return limits_of(METRICS[name].function)


@pytest.mark.parametrize(
    ("limits", "default", "key"),
    [
        (explainer_limits(name), EXPLAINERS[name].info.defaults[key], key)
        for name, key in EXPLAINER_PARAMS
        if key in EXPLAINERS[name].info.defaults
    ]
    + [(metric_limits(name), METRICS[name].info.defaults[key], key) for name, key in METRIC_PARAMS if key != "n"],
)
def test_numbers_have_a_range_and_words_a_list(limits, default, key):
    if isinstance(default, str):
        assert key in FREE_TEXT or default in limits.choices[key]
    elif not isinstance(default, bool):
        assert default in limits.ranges[key]


@pytest.mark.parametrize(("name", "key"), EXPLAINER_PARAMS)
@settings(max_examples=10, deadline=None)
@given(data=st.data())
def test_an_explainer_refuses_what_a_parameter_does_not_take(name, key, data):
    explainer = EXPLAINERS[name]
    if key not in explainer.info.defaults:
        value = data.draw(st.one_of(st.text().filter(lambda v: v not in ("float32", "bfloat16")), st.integers()))
    else:
        value = data.draw(wrong_values(explainer.info.defaults[key], explainer.info.limits, key))
    with pytest.raises(InputError, match=f"{key}="):
        explainer(Untouchable(), torch.zeros(1, 3, 8, 8), torch.zeros(1, 1, dtype=torch.int64), **{key: value})


@pytest.mark.parametrize(("name", "key"), METRIC_PARAMS)
@settings(max_examples=10, deadline=None)
@given(data=st.data())
def test_a_metric_refuses_what_a_parameter_does_not_take(name, key, data):
    metric = METRICS[name]
    if key == "n":
        value = data.draw(st.one_of(st.integers(max_value=1), st.text(), st.floats(), st.none(), st.booleans()))
    else:
        value = data.draw(wrong_values(metric.info.defaults[key], metric_limits(name), key))
    maps = torch.zeros(1, 1, 8, 8)
    images, targets = torch.zeros(1, 3, 8, 8), torch.zeros(1, 1, dtype=torch.int64)
    with pytest.raises(InputError, match=f"{key}="):
        metric.score(maps, images, targets, maps > 0, Untouchable(), **{key: value})


@pytest.mark.parametrize("areas", ["", "0", "1", "0.1,,0.2", "a", "0.1;0.2", "nan", "-0.1", "1.5"])
def test_shares_outside_the_unit_interval_are_refused_before_anything_is_computed(areas):
    with pytest.raises(InputError, match=r"^extremal\.areas="):
        EXPLAINERS["extremal"](
            Untouchable(), torch.zeros(1, 3, 8, 8), torch.zeros(1, 1, dtype=torch.int64), areas=areas
        )
