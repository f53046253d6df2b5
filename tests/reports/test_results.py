from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest
import torch
from matplotlib.figure import Figure

import bcos_eval
from bcos_eval.contract.plugins import find_explainer
from bcos_eval.errors import InputError
from bcos_eval.reports.tables.leaderboard import leaderboard
from bcos_eval.reports.tables.table import LEADERBOARD_COLUMNS
from bcos_eval.store.maps import load_maps
from bcos_eval.store.shards import Store

SPREAD = np.linspace(-0.2, 0.2, 40)


@pytest.fixture
def results(make):
    for method, mean in (("bcos", 0.7), ("ixg", 0.5), ("lime", 0.4)):
        make.units(mean + SPREAD, method=method)
        make.units(1 - mean + SPREAD, method=method, metric="pixel_deletion", preset="default", direction="lower")
    make.units(0.75 + SPREAD, method="random", is_control=True)
    (make.root / "manifest.json").write_text(json.dumps({"schema": 1, "runs": []}))
    return bcos_eval.load_results(make.root)


def test_units_and_leaderboard_are_those_of_the_folder(results, make):
    assert len(results.units) == 7 * 40
    assert list(results.leaderboard().columns) == list(LEADERBOARD_COLUMNS)
    pd.testing.assert_frame_equal(results.leaderboard(), leaderboard(Store(make.root).shards()))


def test_the_wide_leaderboard_has_means_by_metric_and_mean_ranks(results):
    wide = results.leaderboard(wide=True)
    assert wide.index.names == ["dataset", "model", "weights", "method"]
    of_method = wide.droplevel([0, 1, 2])
    assert of_method["grid_pg/bcos_v2"].to_dict() == pytest.approx(
        {"bcos": 0.7, "ixg": 0.5, "lime": 0.4, "random": 0.75}
    )
    assert of_method["mean_rank"].iloc[:3].tolist() == [1, 2, 3]
    assert np.isnan(of_method.loc["random", "mean_rank"])


def test_folders_are_put_together(results, make, tmp_path):
    other = type(make)(tmp_path / "other")
    other.units(0.3 + SPREAD, method="gradcam")
    together = bcos_eval.load_results([make.root, other.root])
    assert set(together.units["method"]) == {"bcos", "ixg", "lime", "random", "gradcam"}
    assert len(together.leaderboard()) == 8


def test_comparisons_are_those_of_the_command(results):
    row = results.compare("bcos", "ixg").set_index("metric").loc["grid_pg"]
    assert row["difference"] == pytest.approx(0.2)
    assert row["better"] == "a"
    assert len(results.compare()) == 6 + 3
    with pytest.raises(InputError, match="give two names to compare, or none for all pairs"):
        results.compare("bcos")


def test_agreement_has_a_row_per_pair_of_metrics(results):
    (row,) = results.agreement(controls=False).to_dict("records")
    assert (row["spearman"], row["n_methods"]) == (1.0, 3)


def test_figures_come_as_objects_and_the_page_as_a_file(results, tmp_path):
    assert isinstance(results.figure("localisation"), Figure)
    with pytest.raises(InputError, match="unknown figure 'localization'"):
        results.figure("localization")
    assert results.report(tmp_path / "page.html").read_text().startswith("<!doctype html>")


def test_a_folder_without_results_is_refused(tmp_path):
    with pytest.raises(InputError, match="holds no results"):
        bcos_eval.load_results([tmp_path])


def test_kept_maps_are_the_attributions_of_every_stimulus_and_target(toy_run, toy_network):
    toy_run(methods=("bcos", "ixg"), metrics=("energy_pg", "grid_pg"), keep_maps=True)
    kept = list(bcos_eval.load_results(toy_run.root).maps())
    units = bcos_eval.load_results(toy_run.root).units
    assert {(one.identity.method.label, one.stimulus_id) for one in kept} == set(
        units[["method", "stimulus"]].itertuples(index=False, name=None)
    )
    network = toy_run.networks["bcos_toy"]
    for one in kept:
        if one.identity.kind == "single":
            number = one.stimulus_id.removeprefix("single/")
            sample = next(sample for sample in toy_run.dataset if sample.sample_id == number)
            maps = find_explainer(one.identity.method.name)(
                network, sample.image[None], torch.from_numpy(one.targets)[None]
            )
            np.testing.assert_allclose(one.maps, maps[0].numpy(), rtol=1e-4, atol=1e-6)
        else:
            assert len(one.targets) == 4 == len(one.maps)


def test_without_being_asked_no_maps_are_kept_and_damaged_ones_are_named(toy_run):
    toy_run(methods=("ixg",), metrics=("energy_pg",))
    assert not list(load_maps(toy_run.root))
    toy_run(methods=("bcos",), metrics=("energy_pg",), keep_maps=True)
    (path, *_) = sorted(toy_run.root.glob("maps/*/*/*/*/*.safetensors"))
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(InputError, match=f"^'{path}' is damaged or no file of maps of this version; delete it"):
        list(load_maps(toy_run.root))


def test_an_evaluation_shows_itself_in_a_notebook_with_texts_escaped():
    table = bcos_eval.evaluate("resnet18", "sparseness", methods=["random"], n_samples=2)
    shown = type(table)(table.leaderboard.assign(model="<script>"), table.units, ("<b>",))._repr_html_()
    assert "&lt;script&gt;" in shown
    assert "<script>" not in shown
    assert "<p>&lt;b&gt;</p>" in shown
    assert "sparseness/positive" in shown
