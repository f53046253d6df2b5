from __future__ import annotations

import pytest

from bcos_eval.cli.catalogue import catalogue
from bcos_eval.cli.names import registered_models, registered_names
from bcos_eval.cli.suites import SUITES, suite_rows
from bcos_eval.contract.plugins import default_presets, explainers, metrics
from bcos_eval.errors import InputError


@pytest.mark.parametrize("suite", SUITES, ids=lambda suite: f"{suite.kind}-{suite.name}")
def test_every_suite_has_members_and_no_entry_s_name(suite):
    rows = catalogue().rows(suite.kind)
    members = suite.members(rows)
    assert members
    assert set(registered_names(suite.kind.removesuffix("s"), members)) == set(members)
    assert suite.name not in {row["name"].partition("/")[0] for row in rows} or suite.name in members


def test_all_is_everything_and_of_metrics_the_recommended_presets():
    assert set(registered_names("method", ["all"])) == set(explainers())
    assert set(registered_names("metric", ["all"])) == set(default_presets())


def test_suites_follow_from_what_stands_at_the_registration():
    fast = registered_names("method", ["fast"])
    assert "ixg" in fast
    assert "lime" not in fast
    assert set(registered_names("method", ["control"])) == {
        *("random", "uniform", "center", "edges"),
        "degraded",
    }
    headline = registered_names("metric", ["headline"])
    assert set(headline) == {metric.info.name for metric in metrics().values() if metric.info.headline}


def test_patterns_of_metrics_mean_presets_where_they_have_the_slash():
    assert registered_names("metric", ["grid_*"]) == ("grid_pg",)
    assert "grid_pg/rao2022" in registered_names("metric", ["grid_pg/*"])


def test_groups_of_models_are_those_with_weights():
    notes = []
    found = registered_models(["bcos_resnet*", "vgg11_bnu"], "shapes", notes.append)
    rows = {row["name"]: row for row in catalogue().rows("models")}
    assert found[-1] == "vgg11_bnu"  # what is named is taken, and refused later where it has no weights
    assert all("shapes" in {w["dataset"] for w in rows[name]["weights"]} for name in found[:-1])
    n_matching = sum(name.startswith("bcos_resnet") for name in rows)
    assert notes == [
        f"note: 'bcos_resnet*' stands for the {len(found) - 1} of {n_matching} models with weights for shapes."
    ]
    with pytest.raises(InputError) as caught:
        registered_models(["bcos"], "folder", notes.append)
    assert str(caught.value) == "no model of 'bcos' has weights for dataset 'folder'; see `bcos-eval list models`."


def test_the_list_says_what_each_stands_for():
    rows = {row["option"]: row for row in suite_rows(catalogue())}
    assert rows["--method control"]["names"] == list(registered_names("method", ["control"]))
    assert rows["--metric all"]["n"] == len(default_presets())
