from __future__ import annotations

import re

import pytest

from bcos_eval.contract.plugins import find_explainer
from bcos_eval.engine.choice import choose, parse_setting
from bcos_eval.engine.plan import make_plan
from bcos_eval.engine.progress import Progress
from bcos_eval.engine.request import RunRequest, resolve
from bcos_eval.engine.run_context import RunContext
from bcos_eval.errors import IncompatibleError
from bcos_eval.stimuli.single import SingleKind
from bcos_eval.store.shards import Store

ASKED = {
    "models": ("bcos_toy",),
    "metrics": ("grid_pg",),
    "methods": ("ixg",),
    "dataset": "toy",
    "device": "cpu",
    "settings": ("grid_pg.n=2",),
    "n_samples": 4,
}


@pytest.fixture
def plan(tmp_path, toy_dataset, toy_network):
    def planner(*, weights_id="random", dataset=None, **asked):
        request = RunRequest(**{**ASKED, **asked})
        networks = {name: toy_network(is_bcos=name == "bcos_toy") for name in request.models}
        for network in networks.values():
            network.weights_id = weights_id
        context = RunContext(
            request, tmp_path, Progress(quiet=True), networks=networks, dataset=dataset or toy_dataset()
        )
        return make_plan(context, resolve(request), Store(tmp_path))

    return planner


def addresses(plan):
    return [(one.cell, one.shard) for one in plan.addresses()]


def test_the_same_request_has_the_same_shards(plan):
    assert addresses(plan()) == addresses(plan())


@pytest.mark.parametrize(
    "change",
    [
        {"weights_id": "other"},
        {"seed": 1},
        {"methods": ("grad",)},
        {"metrics": ("grid_pg/bcos_v2_blockwise",)},
        {"settings": ("grid_pg.n=2", "grid_pg.smoothing=3")},
    ],
    ids=lambda change: "-".join(change),
)
def test_whatever_changes_the_numbers_changes_the_cell_and_the_shard(plan, change):
    before, after = addresses(plan())[0], addresses(plan(**change))[0]
    assert before[0] != after[0]
    assert before[1] != after[1]


def test_other_data_are_another_cell(plan, toy_dataset):
    assert addresses(plan())[0] != addresses(plan(dataset=toy_dataset(n_per_class=7)))[0]


def test_another_numerical_version_is_another_cell(plan, monkeypatch):
    before = addresses(plan())[0]
    monkeypatch.setattr("bcos_eval.engine.plan.NUMERICAL_VERSION", 999)
    assert addresses(plan())[0] != before


@pytest.mark.parametrize("change", [{"batch_size": 3}, {"models": ("bcos_toy", "toy")}])
def test_what_does_not_change_the_numbers_keeps_the_shards(plan, change):
    assert addresses(plan())[0] in addresses(plan(**change))


def test_another_range_is_another_shard_of_the_same_cell(plan):
    few, more = addresses(plan(n_samples=3)), addresses(plan(n_samples=4))
    assert few[0][0] == more[0][0]
    assert few[0][1] != more[0][1]


def test_shards_cover_every_stimulus_once(plan, monkeypatch):
    monkeypatch.setattr(SingleKind, "per_shard", 5)
    cell = plan(metrics=("energy_pg",), settings=(), n_samples=12).cells[0]
    assert [(shard.first, shard.stop) for shard in cell.shards()] == [(0, 5), (5, 10), (10, 12)]


def test_metrics_of_one_stimulus_are_one_task(plan):
    made = plan(metrics=("energy_pg", "pointing_game", "grid_pg"), methods=("ixg", "random"))
    per_task = [[shard.cell.metric.name for shard in task.shards] for task in made.tasks]
    assert per_task == [["energy_pg/default", "pointing_game/default"]] * 2 + [["grid_pg/bcos_v2"]] * 2


def test_folders_can_be_read_and_are_safe_on_every_file_system(plan):
    folder = plan(methods=("gradcam++",)).cells[0].folder
    assert folder.startswith("toy-bcos_toy-gradcam++-grid_pg-bcos_v2-")
    assert not set(folder) & set('/\\:*?"<>|() ')


def test_the_label_names_what_differs_from_the_default():
    assert choose(find_explainer("lime"), [parse_setting("lime.n_samples=10")]).label == "lime(n_samples=10)"


def test_a_dataset_that_cannot_render_scenes_without_their_parts_is_refused(plan):
    message = (
        "metric 'counterfactual_deletion/wasted' compares with scenes that lack a part and dataset 'toy' cannot "
        "render them; use --dataset shapes or shapes_trigger, or another metric."
    )
    with pytest.raises(IncompatibleError, match=f"^{re.escape(message)}$"):
        plan(metrics=("counterfactual_deletion/wasted",), settings=())
