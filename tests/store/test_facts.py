from __future__ import annotations

import json

import pytest

from bcos_eval.store.facts import (
    MethodFacts,
    MetricFacts,
    ShardAddress,
    ShardFacts,
    facts_from_json,
    facts_from_schema_1,
    method_from_json,
    method_of_old_label,
    method_to_json,
)

LIME = MethodFacts("lime", (("kernel_size", 1), ("n_samples", 100)))
METRIC = MetricFacts("grid_pg", "bcos_v2", "higher", (("n", 2),), "shared", is_mean_over_classes=True)
FACTS = ShardFacts(ShardAddress("cell", "shard"), LIME, METRIC, 10, 20, {"seed": 0})


def test_labels_are_names_with_the_parameters_that_differ():
    assert MethodFacts("lime").label == "lime"
    assert LIME.label == "lime(kernel_size=1,n_samples=100)"
    assert METRIC.preset_label == "bcos_v2(n=2)+shared"
    assert MetricFacts("energy_pg", "default", "higher").preset_label == "default"


def test_facts_survive_json():
    assert facts_from_json(json.loads(json.dumps(FACTS.as_json()))) == FACTS
    assert method_from_json(method_to_json(LIME)) == LIME


@pytest.mark.parametrize("stated", [{}, {"method": {}}, {**FACTS.as_json(), "method": {"label": "lime"}}])
def test_other_shapes_are_refused(stated):
    with pytest.raises((KeyError, TypeError)):
        facts_from_json(stated)


@pytest.mark.parametrize(
    ("label", "params", "settings"),
    [
        ("lime", {"n_samples": 1000}, ()),
        ("lime(n_samples=100)", {"kernel_size": 4, "n_samples": 100}, (("n_samples", 100),)),
        ("lime(kernel_size=1,n_samples=100)", {"kernel_size": 1, "n_samples": 100}, LIME.settings),
        ("lime(a=x(1,2),b=3)", {"a": "x(1,2)", "b": 3}, (("a", "x(1,2)"), ("b", 3))),
    ],
)
def test_labels_of_schema_1_are_recognised_by_the_values_in_the_key(label, params, settings):
    stated = {
        "address": {"cell": "c", "shard": "s"},
        "direction": "lower",
        "first": 0,
        "stop": 4,
        "key": {
            "method": {"name": "lime", "params": params},
            "metric": {"name": "grid_pg/bcos_v2", "params": {"n": 2, "pool": "bcos_v2", "smoothing": 1}},
        },
    }
    row = {"method": label, "metric": "grid_pg", "preset": "bcos_v2(n=2,smoothing=1)+shared"}
    facts = facts_from_schema_1(stated, row)
    assert (facts.method.name, facts.method.settings, facts.method.label) == ("lime", settings, label)
    assert (facts.metric.name, facts.metric.preset, facts.metric.direction) == ("grid_pg", "bcos_v2", "lower")
    assert (facts.metric.settings, facts.metric.pool) == ((("n", 2), ("smoothing", 1)), "shared")
    assert facts.metric.preset_label == row["preset"]


def test_what_schema_1_left_unsaid_is_what_held_then():
    stated = {"address": {"cell": "c", "shard": "s"}, "direction": "higher", "first": 0, "stop": 1, "key": {}}
    facts = facts_from_schema_1(stated, {"method": "random", "metric": "pointing_game", "preset": "torchray"})
    assert facts.method.is_control
    assert facts.metric.is_mean_over_classes


@pytest.mark.parametrize("label", ["lime", "lime(n_samples=100)", "lime(kernel_size=1,n_samples=100)"])
def test_old_labels_are_read_back_into_themselves(label):
    assert method_of_old_label(label).label == label
