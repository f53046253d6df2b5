from __future__ import annotations

import itertools
import re

import numpy as np
import pytest
import torch

from bcos_eval.contract.plugins import find_explainer
from bcos_eval.engine import aggregate
from bcos_eval.engine.aggregate import aggregate_attributions
from bcos_eval.engine.progress import Progress
from bcos_eval.engine.request import RunRequest
from bcos_eval.errors import InputError
from bcos_eval.reports.tables.leaderboard import stored_units
from bcos_eval.stimuli.grids.bcos import bcos_grids
from bcos_eval.store.aggregates import load_aggregate, load_aggregates, save_aggregate

N_GRIDS = 40
# The toy network is never as sure as Rao et al. want it.
SETTINGS = {name: (f"{name}.n=2", f"{name}.rule=bcos_v2") for name in ("grid_pg", "difull", "dipart")}


@pytest.fixture
def aggregated(tmp_path, toy_dataset, toy_network):
    """Aggregates toy grids in a temporary folder."""
    network, dataset = toy_network(is_bcos=True), toy_dataset(n_per_class=60)

    def aggregator(**asked):
        request = {
            "models": ("bcos_toy",),
            "metrics": ("difull",),
            "methods": ("ixg",),
            "dataset": "toy",
            "device": "cpu",
            "settings": SETTINGS["difull"] if "metrics" not in asked else (),
            "n_samples": N_GRIDS,
            **asked,
        }
        return aggregate_attributions(
            RunRequest(**request),
            tmp_path / "out",
            progress=Progress(quiet=True),
            networks={"bcos_toy": network},
            dataset=dataset,
        )

    aggregator.network, aggregator.dataset = network, dataset
    return aggregator


def test_means_are_those_of_the_grids_of_a_run_in_the_order_of_their_scores(aggregated, toy_run, tmp_path):
    toy_run.dataset = aggregated.dataset
    asked = {"metrics": ("grid_pg",), "settings": ("grid_pg.n=2",), "methods": ("random",)}
    (path,) = aggregated(**asked)
    found = load_aggregate(path)
    units = stored_units(toy_run(n_samples=N_GRIDS, **asked).shards).query("unit == 0")
    ranked = units["score"].sort_values(ascending=False).to_numpy()
    assert found.counts.tolist() == [1, 1, 18, 18, 1, 1]
    bounds = np.cumsum([0, *found.counts])
    expected = [ranked[first:stop].mean() for first, stop in itertools.pairwise(bounds)]
    np.testing.assert_allclose(found.scores, expected, rtol=0, atol=1e-9)


def test_the_best_bin_holds_the_positive_map_of_the_best_grid(aggregated):
    (path,) = aggregated(metrics=("grid_pg",), settings=("grid_pg.n=2",), methods=("random",))
    found = load_aggregate(path)
    np.testing.assert_array_equal(found.means[0], found.examples[0])  # a bin of one grid
    share = found.means[0][found.region].sum(dtype=float) / found.means[0].sum(dtype=float)
    assert share == pytest.approx(found.scores[0], abs=1e-6)  # maps are float32
    assert found.means.min() >= 0


def test_all_grids_together_have_the_mean_of_all_positive_maps(aggregated):
    (path,) = aggregated()
    found = load_aggregate(path)
    total = np.zeros_like(found.region, dtype=float)
    for image, target in _corner_images(aggregated):
        maps = find_explainer("ixg")(aggregated.network, image[None], torch.tensor([[target]]))[0, 0]
        side = image.shape[-1]
        total[:side, :side] += maps.clamp_min(0).double().numpy()
    together = (found.means * found.counts[:, None, None]).sum(0)
    np.testing.assert_allclose(together, total, rtol=0, atol=1e-5)  # float32 means
    assert found.scores.tolist() == [1.0] * 6


def _corner_images(aggregated):
    """The top left images of the grids of the toy data, and their classes."""
    dataset, network = aggregated.dataset, aggregated.network
    images = torch.stack([dataset[index].image for index in range(len(dataset))])
    with torch.no_grad():
        logits = network(network.encode(images))
    grids = bcos_grids(
        dataset.labels, logits.amax(1), logits.argmax(1) == torch.tensor(dataset.labels), n=2, n_grids=N_GRIDS
    )
    return [(images[grid[0]], dataset.labels[grid[0]]) for grid in grids]


def test_a_second_call_computes_nothing_and_more_grids_everything(aggregated, monkeypatch):
    asked = {"metrics": ("grid_pg/how_to_probe",), "settings": SETTINGS["grid_pg"]}
    before = aggregated(**asked)
    assert aggregated(**asked) == before
    calls = []
    original = aggregate.score_batch
    monkeypatch.setattr(aggregate, "score_batch", lambda *a, **k: calls.append(a) or original(*a, **k))
    assert aggregated(**asked) == before
    assert calls == []
    assert aggregated(**asked, n_samples=50) == before
    assert len(calls) == load_aggregate(before[0]).n_asked == 50


def test_each_method_and_metric_has_its_file(aggregated, tmp_path):
    paths = aggregated(
        methods=("ixg", "gradcam"),
        metrics=("difull", "dipart"),
        settings=(*SETTINGS["difull"], *SETTINGS["dipart"]),
    )
    assert len(set(paths)) == 4
    labels = [(one.method.label, one.metric) for one in load_aggregates(tmp_path / "out")]
    assert set(labels) == {
        (method, f"{metric}/rao2022(n=2,rule=bcos_v2)")
        for method in ("ixg", "gradcam")
        for metric in ("difull", "dipart")
    }


def test_grids_without_a_score_are_in_no_bin(aggregated, monkeypatch, capsys):
    original = aggregate._explained
    done = []

    def holed(context, cell, stimulus):
        positive, score = original(context, cell, stimulus)
        done.append(score)
        return positive, float("nan") if len(done) <= 5 else score

    monkeypatch.setattr(aggregate, "_explained", holed)
    (path,) = aggregated()
    found = load_aggregate(path)
    assert (found.n_asked, found.counts.sum()) == (40, 35)
    assert "note: ixg: 5 of 40 grids have no score and are in no bin.\n" in capsys.readouterr().err


def test_metrics_of_single_images_are_refused(aggregated):
    message = (
        "aggatt shows attributions of grids and metric 'energy_pg/model_guidance' is not measured on them; use "
        "difull, dipart or grid_pg."
    )
    with pytest.raises(InputError, match=f"^{re.escape(message)}$"):
        aggregated(metrics=("energy_pg/model_guidance",))


def test_too_few_grids_are_refused_before_any_is_explained(aggregated):
    message = (
        "aggatt ranks 30 grids or more and 'bcos_toy' has 12 with a score by 'difull/rao2022'; use more "
        "--samples, smaller grids (--param NAME.n=2) or more images."
    )
    with pytest.raises(InputError, match=f"^{re.escape(message)}$"):
        aggregated(n_samples=12)


def test_a_damaged_file_is_named(aggregated):
    (path,) = aggregated()
    path.write_bytes(path.read_bytes()[:100])
    message = (
        f"'{path}' is no file of aggregate attributions of this version; delete it and make it again with "
        "`bcos-eval aggatt`."
    )
    with pytest.raises(InputError, match=f"^{re.escape(message)}$"):
        load_aggregate(path)


def test_what_is_stored_is_what_was_saved(aggregated, tmp_path):
    (path,) = aggregated()
    found = load_aggregate(path)
    save_aggregate(tmp_path / "copy.npz", found)
    copy = load_aggregate(tmp_path / "copy.npz")
    for name in type(found).__slots__:
        np.testing.assert_array_equal(getattr(copy, name), getattr(found, name))
