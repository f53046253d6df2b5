"""Metrics that remove pixels are scored on images that all models of the run classify correctly."""

from __future__ import annotations

import pandas as pd
import pytest
import torch

from bcos_eval.contract.explained_model import ExplainedModel
from bcos_eval.contract.plugins import metrics
from bcos_eval.engine.kept_maps import KeptMap, KeptMaps
from bcos_eval.engine.request import RunRequest
from bcos_eval.errors import IncompatibleError, InputError
from bcos_eval.reports.tables.leaderboard import leaderboard_rows, stored_units
from bcos_eval.reports.tables.table import render
from bcos_eval.stimuli.single import balanced_order

OF_CORRECT_IMAGES = {"pixel_perturbation", "pixel_deletion", "pixel_insertion", "incremental_deletion", "road"}
OFFICIAL = {"coda", "coda_most", "idsds", "idsds_descending", "rise"}


class Wrong(torch.nn.Module):
    """A network that takes images of some colours for the next colour."""

    def __init__(self, network, colours, name):
        super().__init__()
        self.network, self.name, self.weights_id = network, name, f"wrong-{colours}"
        self.order = torch.arange(6)
        self.order[list(colours)] = torch.roll(torch.tensor(colours), 1)

    def __getattr__(self, attribute):
        try:
            return super().__getattr__(attribute)
        except AttributeError:
            return getattr(super().__getattr__("network"), attribute)

    def forward(self, encoded):
        return self.network(encoded)[:, self.order]


@pytest.fixture
def wrong_run(toy_run, toy_network):
    toy_run.networks["bcos_toy"] = Wrong(toy_network(), (0, 1), "bcos_toy")
    toy_run.networks["toy"] = Wrong(toy_network(is_bcos=False), (1, 2), "toy")
    return toy_run


def images_of(result, metric, model):
    units = stored_units(result.shards)
    return units[(units["metric"] == metric) & (units["model"] == model)]["sample_id"].tolist()


def correct_for(networks, dataset, n):
    """The first images in balanced order that all networks are right about, and how many were looked at."""
    kept = []
    for place, index in enumerate(balanced_order(dataset.labels), start=1):
        sample = dataset[index]
        said = [network(network.encode(sample.image[None])).argmax().item() for network in networks]
        if all(one == sample.label for one in said):
            kept.append(sample.sample_id)
        if len(kept) == n:
            return kept, place
    return kept, place


def test_official_presets_score_all_images_and_the_others_correct_ones():
    for metric in metrics().values():
        info = metric.info
        filters = info.name in OF_CORRECT_IMAGES and info.preset not in OFFICIAL
        assert info.images == ("correct" if filters else "all"), info.key
        assert info.target == ("predicted" if info.preset == "rise" else "label"), info.key


@pytest.mark.parametrize("models", [("bcos_toy",), ("bcos_toy", "toy")])
def test_the_same_correct_images_count_for_every_model(wrong_run, models):
    result = wrong_run(models=models, metrics=("pixel_deletion", "energy_pg"), n_samples=10)
    expected, n_looked_at = correct_for([wrong_run.networks[m] for m in models], wrong_run.dataset, 10)
    for model in models:
        assert images_of(result, "pixel_deletion", model) == expected
        assert len(images_of(result, "energy_pg", model)) == 10
    rows = {row["metric"]: row for row in leaderboard_rows(result.shards)}
    assert rows["pixel_deletion"]["n_looked_at"] == n_looked_at
    assert rows["pixel_deletion"]["n_left_out"] == n_looked_at - 10
    assert "n_looked_at" not in rows["energy_pg"]
    text = render(list(rows.values()), "md")
    assert f"{n_looked_at - 10} of {n_looked_at}" in text
    assert "left out: images that some model of the run does not classify correctly" in text


def test_images_do_not_depend_on_batches_shards_or_other_metrics(wrong_run, tmp_path, monkeypatch):
    first = wrong_run(metrics=("pixel_deletion",), n_samples=12, batch_size=5)
    monkeypatch.setattr("bcos_eval.stimuli.single.SingleKind.per_shard", 7)
    second = wrong_run(
        metrics=("grid_pg", "road", "pixel_deletion"), n_samples=12, batch_size=1, root=tmp_path / "other"
    )
    chosen = [images_of(result, "pixel_deletion", "bcos_toy") for result in (first, second)]
    assert chosen[0] == chosen[1]
    rows = [r for r in leaderboard_rows(second.shards) if r["metric"] == "pixel_deletion"]
    assert rows[0]["n_looked_at"] == correct_for([wrong_run.networks["bcos_toy"]], wrong_run.dataset, 12)[1]


def test_units_of_another_choice_of_images_are_other_cells(wrong_run):
    asked = [
        {"models": ("bcos_toy",)},
        {"models": ("bcos_toy", "toy")},
        {"models": ("bcos_toy",), "target": "predicted"},
        {"models": ("bcos_toy",), "target": "label"},
    ]
    cells = []
    for one in asked:
        result = wrong_run(metrics=("pixel_deletion",), **one)
        cells.append({shard.facts.address.cell for shard in result.shards if "bcos_toy" in shard.texts("model")})
    assert cells[0] == cells[3]
    assert not cells[0] & cells[1]
    assert not cells[0] & cells[2]


def test_the_predicted_class_is_explained_of_every_image(wrong_run):
    result = wrong_run(metrics=("pixel_deletion/rise", "pixel_deletion", "energy_pg"), target="predicted")
    network = wrong_run.networks["bcos_toy"]
    units = stored_units(result.shards)
    assert set(units["preset"]) == {"rise", "default+predicted"}
    of = dict(zip(wrong_run.dataset.sample_ids, range(len(wrong_run.dataset)), strict=True))
    for row in units.itertuples():
        image = wrong_run.dataset[of[row.sample_id]].image[None]
        assert row.target == network(network.encode(image)).argmax().item()
    assert (units.groupby(["metric", "preset"]).size() == 12).all()


def test_rise_follows_the_prediction_unless_the_label_is_asked_for(wrong_run):
    own = stored_units(wrong_run(metrics=("pixel_insertion/rise",)).shards)
    asked = stored_units(wrong_run(metrics=("pixel_insertion/rise",), target="label").shards)
    labels = dict(zip(wrong_run.dataset.sample_ids, wrong_run.dataset.labels, strict=True))
    assert set(own["preset"]) == {"rise"}
    assert set(asked["preset"]) == {"rise+label"}
    assert [labels[one] for one in asked["sample_id"]] == asked["target"].tolist()
    assert (own["target"].to_numpy() != asked["target"].to_numpy()).sum() == 4  # two of six colours are confused


def test_unreadable_images_keep_their_place(toy_run, toy_dataset):
    toy_run.dataset = toy_dataset(unreadable=(1,))
    (shard,) = toy_run(metrics=("pixel_deletion",), n_samples=6).shards
    assert shard.texts("status") == ["ok", "skipped", "ok", "ok", "ok", "ok"]
    assert shard.facts.n_looked_at == 6


def test_a_model_that_is_never_right_is_refused_with_a_way_out(toy_run, toy_network):
    toy_run.networks["bcos_toy"] = Wrong(toy_network(), (0, 1, 2, 3, 4, 5), "bcos_toy")
    with pytest.raises(IncompatibleError) as caught:
        toy_run(metrics=("road",))
    assert str(caught.value) == (
        "metric 'road/default' on 'bcos_toy': not one of 36 images is classified correctly; use weights that were "
        "trained on these classes, or --target predicted."
    )
    assert len(toy_run(metrics=("road",), target="predicted").shards) == 1


def test_another_target_is_refused():
    with pytest.raises(InputError, match=r"^unknown target 'labels'; did you mean label\?"):
        RunRequest(models=("a",), metrics=("road",), target="labels")


def test_the_share_of_tied_pixels_is_stored_with_each_unit(toy_run):
    result = toy_run(metrics=("pixel_deletion", "energy_pg"), methods=("uniform", "ixg"))
    units = stored_units(result.shards)
    shares = units.groupby(["metric", "method"])["tied"].median()
    assert shares["pixel_deletion", "uniform"] == 1.0
    assert shares["pixel_deletion", "ixg"] == 0.0
    assert units[units["metric"] == "energy_pg"]["tied"].isna().all()
    rows = leaderboard_rows(result.shards)
    assert "tied" in render(rows, "md", full=True).splitlines()[0]
    assert "tied" not in render(rows, "md").splitlines()[0]


def test_attributions_of_images_that_several_choices_share_are_made_once(wrong_run, monkeypatch, tmp_path):
    together = {"metrics": ("energy_pg", "pixel_deletion", "pixel_deletion/rise"), "methods": ("ixg", "grad")}
    made = []
    explain = ExplainedModel.explain_network
    monkeypatch.setattr(
        ExplainedModel,
        "explain_network",
        lambda self, *given: (made.append(len(given[1])), explain(self, *given))[1],
    )
    shared = stored_units(wrong_run(n_samples=12, **together).shards)
    pictures = shared.drop_duplicates(["method", "sample_id", "target"])
    assert sum(made) == len(pictures) < len(shared)
    alone = [
        stored_units(wrong_run(n_samples=12, metrics=(one,), methods=("ixg",), root=tmp_path / str(i)).shards)
        for i, one in enumerate(together["metrics"])
    ]
    key = ["metric", "preset", "stimulus", "target"]
    expected = pd.concat(alone).set_index(key)["score"].sort_index()
    found = shared[shared["method"] == "ixg"].set_index(key)["score"].sort_index()
    pd.testing.assert_series_equal(found, expected, check_exact=True)
    assert (shared["seconds"] > 0).all()


def test_maps_used_last_are_kept():
    kept = KeptMaps(most_bytes=100)
    for number in range(3):
        kept.put(("m", str(number), (0,)), KeptMap(torch.zeros(1, 3, 3), 1.0))  # 36 bytes
        kept.get(("m", "0", (0,)))
    assert [kept.get(("m", str(number), (0,))) is None for number in range(3)] == [False, True, False]
