from __future__ import annotations

import pytest
import torch
from scipy import stats

from bcos_eval.contract.plugins import metrics
from bcos_eval.errors import InputError
from bcos_eval.reports.tables.leaderboard import stored_units
from bcos_eval.stimuli import stimulus_kind
from bcos_eval.stimuli.grids.bcos import bcos_grids
from bcos_eval.stimuli.pool import Pool
from bcos_eval.stimuli.shared_pool import shared_pool

LABELS = [index % 6 for index in range(60)]


def random_pool(seed, n=60, scale=1.0):
    generator = torch.Generator().manual_seed(seed)
    logits = scale * (torch.rand(n, generator=generator) + 0.1)
    correct = torch.rand(n, generator=generator) < 0.9
    return Pool(logits, correct, torch.rand(n, generator=generator), {})


def grids_of(pool):
    return bcos_grids(LABELS, pool.max_logits, pool.correct, n=2, n_grids=5)


def test_only_images_that_every_model_is_right_and_sure_about_are_in_the_pool():
    one = Pool(torch.tensor([1.0, -1.0, 2.0, 3.0]), torch.tensor([True, True, False, True]), torch.ones(4), {})
    other = Pool(
        torch.tensor([1.0, 5.0, 2.0, 0.5]), torch.tensor([True, True, True, True]), torch.zeros(4), {"a": "b"}
    )
    pool = shared_pool([one, other])
    assert pool.correct.tolist() == [True, False, False, True]
    assert torch.isfinite(pool.max_logits).tolist() == pool.correct.tolist()
    assert pool.label_probability.tolist() == [0, 0, 0, 0]
    assert pool.unreadable == {"a": "b"}


def test_images_are_ordered_by_their_mean_rank():
    one = Pool(torch.tensor([0.1, 0.2, 0.3]), torch.ones(3, dtype=torch.bool), torch.ones(3), {})
    other = Pool(torch.tensor([90.0, 10.0, 90.0]), torch.ones(3, dtype=torch.bool), torch.ones(3), {})
    assert shared_pool([one, other]).max_logits.tolist() == [(1 + 2.5) / 2, (2 + 1) / 2, (3 + 2.5) / 2]


def test_ranks_may_come_in_the_precision_of_what_is_ranked(monkeypatch):
    ranked = stats.rankdata
    monkeypatch.setattr(stats, "rankdata", lambda values, axis: ranked(values, axis=axis).astype(values.dtype))
    assert shared_pool([random_pool(0), random_pool(1)]).max_logits.dtype == torch.float64


def test_the_pool_of_one_model_makes_the_grids_of_its_logits():
    pool = random_pool(0)
    assert grids_of(shared_pool([pool])) == grids_of(pool)


def test_the_scale_of_a_models_logits_and_the_order_of_models_do_not_matter():
    one, other = random_pool(1), random_pool(2)
    loud = Pool(other.max_logits * 1000, other.correct, other.label_probability, {})
    assert grids_of(shared_pool([one, other])) == grids_of(shared_pool([loud, one]))
    assert grids_of(shared_pool([one, other])) != grids_of(one)


MODELS = {"models": ("bcos_toy", "toy")}


def units_by_model(result):
    columns = ["stimulus", "unit", "sample_id", "target"]
    return {
        model: set(rows[columns].itertuples(index=False, name=None))
        for model, rows in stored_units(result.shards).groupby("model")
    }


def test_models_with_a_shared_pool_see_the_same_grids(toy_run):
    shared = units_by_model(toy_run(**MODELS, metrics=("grid_pg",), pool="shared"))
    assert shared["bcos_toy"] == shared["toy"] != set()


def test_the_grids_of_a_shared_pool_are_another_cell_than_those_of_each_models_own(toy_run):
    folders = [
        {shard.facts.address.cell for shard in toy_run(**MODELS, metrics=("grid_pg",), pool=pool).shards}
        for pool in ("own", "shared")
    ]
    assert [len(found) for found in folders] == [2, 2]
    assert folders[0].isdisjoint(folders[1])


def test_the_label_and_the_key_say_that_the_pool_is_shared(toy_run):
    result = toy_run(**MODELS, pool="shared")
    found = {
        (
            shard.units["preset"].iloc[0],
            shard.facts.key["stimulus"].get("pool"),
            len(shard.facts.key["stimulus"]["models"]),
        )
        for shard in result.shards
    }
    assert found == {("bcos_v2(n=2)+shared", "shared", 2), ("default", None, 1)}


def test_the_own_pool_and_single_images_keep_their_shards(toy_run):
    def folders(**asked):
        result = toy_run(**MODELS, **asked)
        return {
            shard.facts.address.cell for shard in result.shards if shard.units["metric"].iloc[0] == "energy_pg"
        }

    assert folders() == folders(pool="own") == folders(pool="shared")
    keys = [shard.facts.key["stimulus"] for shard in toy_run().shards]
    assert keys[0]["pool"] == "own"


def test_grids_of_rao_are_shared_by_all_models_already():
    info = metrics()["grid_pg/bcos_v2"].info
    params = {**info.defaults, "rule": "rao2022"}
    assert stimulus_kind(info, params, "shared") == stimulus_kind(info, params, "own")
    assert stimulus_kind(info, params).pools_all_models


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        (
            {"pool": "shared"},
            "--pool shared with a single model is its own pool; name all models to compare.",
        ),
        ({"pool": "sharde", **MODELS}, "unknown pool 'sharde'; did you mean shared?"),
    ],
)
def test_a_pool_that_cannot_be_is_refused(toy_run, asked, message):
    with pytest.raises(InputError) as caught:
        toy_run(**asked)
    assert str(caught.value) == message
