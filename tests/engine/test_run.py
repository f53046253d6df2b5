from __future__ import annotations

import json
import re

import numpy as np
import pandas as pd
import pytest
import torch

from bcos_eval.contract.plugins import find_explainer, find_metric
from bcos_eval.engine import task as shard_task
from bcos_eval.engine.progress import Progress
from bcos_eval.engine.share import Share
from bcos_eval.errors import InputError
from bcos_eval.reports.tables.leaderboard import leaderboard, stored_units
from bcos_eval.store.sealed import read_sealed_json, sealed_json
from bcos_eval.store.shards import UNIT_COLUMNS, Store


def scores(result):
    return stored_units(result.shards).drop(columns=["seconds"])


def test_units_have_the_contract_columns_in_order(toy_run):
    shard = toy_run().shards[0]
    assert tuple(shard.units.columns) == UNIT_COLUMNS == (
        "dataset", "sample_id", "model", "weights", "method", "metric", "preset",
        "stimulus", "target", "unit", "score", "status", "reason", "seconds", "tied",
    )  # fmt: skip


def test_stored_scores_equal_a_loop_over_single_stimuli(toy_run):
    units = stored_units(toy_run(metrics=("energy_pg",)).shards).set_index("sample_id")
    network, dataset = toy_run.networks["bcos_toy"], toy_run.dataset
    metric = find_metric("energy_pg")
    assert len(units) == 12
    for index in range(12):  # the toy data alternate between classes, so balanced order is dataset order
        sample = dataset[index]
        image, target = sample.image[None], np.array([[sample.label]])
        target = image.new_tensor(target).long()
        maps = find_explainer("ixg")(network, image, target)
        expected = metric.score(maps, image, target, sample.region[None, None]).values.item()
        assert units.loc[sample.sample_id, "score"] == pytest.approx(expected, rel=1e-6)


def test_a_second_run_computes_nothing_and_gives_the_same_table(toy_run):
    first, second = toy_run(), toy_run()
    assert first.n_computed > 0
    assert second.n_computed == 0
    pd.testing.assert_frame_equal(leaderboard(first.shards), leaderboard(second.shards), check_exact=True)


def test_attributions_are_made_once_for_all_metrics_of_a_stimulus(toy_run, monkeypatch):
    calls = []
    original = shard_task.score_batch

    def counted(network, method, metrics, stimuli, **settings):
        calls.append((stimuli[0].stimulus_id.split("/")[0], [metric.name for metric in metrics]))
        return original(network, method, metrics, stimuli, **settings)

    monkeypatch.setattr(shard_task, "score_batch", counted)
    toy_run(metrics=("energy_pg", "grid_pg", "pointing_game"))
    assert calls == [
        ("single", ["energy_pg/default", "pointing_game/default"]),
        ("grid2x2", ["grid_pg/bcos_v2"]),
    ]


def test_an_added_metric_leaves_the_others_untouched(toy_run):
    toy_run(metrics=("energy_pg",))
    result = toy_run(metrics=("energy_pg", "pointing_game"))
    assert result.n_computed == 1
    assert len(result.shards) == 2


def test_an_interrupted_run_resumes_with_what_is_missing(toy_run, monkeypatch, tmp_path):
    whole = toy_run(root=tmp_path / "whole", methods=("ixg", "gradcam", "random"))
    original = shard_task.compute
    done = []

    def interrupted(*arguments):
        if len(done) == 2:
            raise KeyboardInterrupt
        done.append(arguments)
        original(*arguments)

    monkeypatch.setattr("bcos_eval.engine.task.compute", interrupted)
    with pytest.raises(KeyboardInterrupt):
        toy_run(methods=("ixg", "gradcam", "random"))
    monkeypatch.undo()
    outcomes = [run["outcome"] for run in json.loads((toy_run.root / "manifest.json").read_text())["runs"]]
    assert outcomes == ["interrupted"]
    resumed = toy_run(methods=("ixg", "gradcam", "random"))
    assert resumed.n_computed == whole.n_computed - 2
    pd.testing.assert_frame_equal(scores(resumed), scores(whole), check_exact=True)


def test_a_half_written_shard_is_computed_again(toy_run):
    first = toy_run(metrics=("energy_pg",))
    path = Store(toy_run.root).units_path(first.shards[0].facts.address)
    path.write_bytes(path.read_bytes()[:-200])
    second = toy_run(metrics=("energy_pg",))
    assert second.n_computed == 1
    assert second.notes == (f"computed '{path}' again, which was damaged.",)
    pd.testing.assert_frame_equal(scores(first), scores(second))


@pytest.mark.parametrize("batch_size", [4, 32])
def test_scores_do_not_depend_on_the_batch_size(toy_run, tmp_path, batch_size):
    asked = {"metrics": ("grid_pg", "energy_pg", "pixel_perturbation"), "methods": ("ixg", "gradcam", "random")}
    one = scores(toy_run(root=tmp_path / "one", batch_size=1, **asked))
    many = scores(toy_run(root=tmp_path / "many", batch_size=batch_size, **asked))
    pd.testing.assert_frame_equal(one, many, rtol=0, atol=1e-5)


def test_runs_whose_stimuli_share_passes_have_the_same_rows_and_scores(toy_run, tmp_path, monkeypatch):
    asked = {"metrics": ("grid_pg", "energy_pg"), "methods": ("ixg", "gradcam", "random")}
    alone = scores(toy_run(root=tmp_path / "alone", **asked))
    monkeypatch.setattr("bcos_eval.engine.scoring.explains_together", lambda _device: True)
    together = scores(toy_run(root=tmp_path / "together", batch_size=5, **asked))
    pd.testing.assert_frame_equal(alone, together, rtol=0, atol=1e-4)


def test_a_pass_that_runs_out_of_memory_is_noted_where_stimuli_share_passes(toy_run, monkeypatch):
    original = shard_task.score_batch

    def scored(network, method, metrics, stimuli, **settings):
        if len(stimuli) > 2:
            raise torch.cuda.OutOfMemoryError("CUDA out of memory.")
        return original(network, method, metrics, stimuli, **settings)

    monkeypatch.setattr(shard_task, "score_batch", scored)
    monkeypatch.setattr(shard_task, "explains_together", lambda _device: True)
    assert toy_run(metrics=("energy_pg",), batch_size=4).notes == (
        "memory ran out with 4 stimuli in a pass; smaller passes may change the sixth digit of scores.",
    )


def test_more_samples_keep_the_scores_of_fewer(toy_run, tmp_path):
    few = scores(toy_run(n_samples=3, methods=("random",)))
    many = scores(toy_run(n_samples=12, methods=("random",), root=tmp_path / "many"))
    both = few.merge(many, on=["metric", "stimulus", "unit"], suffixes=("", "_many"))
    assert len(both) == len(few)
    np.testing.assert_array_equal(both["score"], both["score_many"])


def test_units_of_overlapping_shards_count_once(toy_run):
    toy_run(n_samples=5, metrics=("energy_pg",))
    toy_run(n_samples=7, metrics=("energy_pg",))
    table = leaderboard(Store(toy_run.root).shards())
    assert table["n"].tolist() == [7]


def test_another_seed_is_another_cell(toy_run):
    first, second = toy_run(seed=0, methods=("random",)), toy_run(seed=1, methods=("random",))
    assert second.n_computed == first.n_computed
    assert not scores(first)["score"].equals(scores(second)["score"])


def test_fewer_grids_than_asked_for_are_noted(toy_run):
    result = toy_run(metrics=("grid_pg",), n_samples=100)
    n_grids = leaderboard(result.shards)["n"].item() // 4
    assert 0 < n_grids < 100
    assert result.notes == (f"bcos_toy: {n_grids} 2×2 grids instead of 100; the data give no more.",)


def test_an_unreadable_image_is_named_skipped_and_counted(toy_run, toy_dataset, capsys):
    toy_run.dataset = toy_dataset(unreadable=(1,))
    result = toy_run()
    units = stored_units(result.shards)
    skipped = units[units["status"] == "skipped"]
    assert skipped["sample_id"].tolist() == ["image_1.png"]
    assert np.isnan(skipped["score"].item())
    assert leaderboard(result.shards).set_index("metric").loc["energy_pg", "n"] == 11
    assert "image_1.png" not in set(units.loc[units["metric"] == "grid_pg", "sample_id"])
    notes = [line for line in capsys.readouterr().err.splitlines() if line.startswith("note: ")]
    assert notes[0] == "note: skipped an image: 'image_1.png' is damaged; replace it."
    assert notes[-1] == "note: unreadable images that were skipped: 1 (image_1.png)."
    assert json.loads((toy_run.root / "manifest.json").read_text())["runs"][0]["n_skipped_images"] == 1


def test_skipped_images_are_counted_again_when_everything_is_stored(toy_run, toy_dataset):
    toy_run.dataset = toy_dataset(unreadable=(1,))
    toy_run(metrics=("energy_pg",))
    again = toy_run(metrics=("energy_pg",))
    assert again.n_computed == 0
    assert again.notes == ("unreadable images that were skipped: 1 (image_1.png).",)


def test_a_method_the_only_model_does_not_support_is_an_error(toy_run):
    with pytest.raises(InputError) as caught:
        toy_run(models=("toy",), methods=("bcos",))
    assert str(caught.value) == (
        "method 'bcos' needs a B-cos model and 'toy' is none; use ixg, intgrad, gradcam or another post-hoc method"
    )


def test_a_method_that_one_of_several_models_does_not_support_is_left_out(toy_run):
    result = toy_run(models=("bcos_toy", "toy"), methods=("bcos", "ixg"), metrics=("energy_pg",))
    table = leaderboard(result.shards)
    assert list(zip(table["model"], table["method"], strict=True)) == [
        ("bcos_toy", "bcos"),
        ("bcos_toy", "ixg"),
        ("toy", "ixg"),
    ]
    assert result.notes == (
        "left out: method 'bcos' needs a B-cos model and 'toy' is none; "
        "use ixg, intgrad, gradcam or another post-hoc method",
    )


def test_localisation_without_regions_is_an_error(toy_run, toy_dataset):
    toy_run.dataset = toy_dataset(has_regions=False)
    with pytest.raises(InputError) as caught:
        toy_run(metrics=("energy_pg",))
    assert str(caught.value) == (
        "metric 'energy_pg/default' needs to know where the objects are and dataset 'toy' does not say; "
        "use a dataset with boxes or masks, or another metric."
    )


def test_a_model_with_other_classes_is_an_error(toy_run):
    toy_run.dataset.class_names = ("one", "two")
    with pytest.raises(InputError) as caught:
        toy_run()
    assert str(caught.value) == (
        "model 'bcos_toy' tells 6 classes apart and dataset 'toy' has 2; "
        "use weights that were trained on this dataset."
    )


def test_an_unwritable_folder_is_an_error_before_anything_is_computed(toy_run, tmp_path, monkeypatch):
    monkeypatch.setattr("bcos_eval.engine.run.make_plan", lambda *_: pytest.fail("computed"))
    (tmp_path / "file").touch()
    with pytest.raises(InputError) as caught:
        toy_run(root=tmp_path / "file" / "out")
    assert str(caught.value) == (
        f"cannot write to --out '{tmp_path}/file/out': Not a directory; give a folder that you may write to."
    )


def test_grids_of_rao_need_the_agreement_of_all_models(toy_run, capsys):
    asked = {"metrics": ("grid_pg/rao2022",), "settings": ("grid_pg.n=2",)}
    with pytest.raises(InputError, match=r"^metric 'grid_pg/rao2022' on 'toy': no 2×2 grid can be filled: only "):
        toy_run(models=("toy",), **asked)  # its probabilities are below 0.99
    with pytest.raises(InputError, match=r"^no combination"):
        toy_run(models=("toy", "bcos_toy"), **asked)
    assert capsys.readouterr().err.count(" All 2 models must agree; run them alone.\n") == 2


def test_changed_parameters_are_part_of_the_label(toy_run):
    table = leaderboard(toy_run(metrics=("grid_pg",), settings=("grid_pg.n=2", "grid_pg.smoothing=3")).shards)
    assert table["preset"].tolist() == ["bcos_v2(n=2,smoothing=3)"]


def test_curves_are_stored_beside_the_scores(toy_run):
    result = toy_run(metrics=("pixel_perturbation",))
    address = result.shards[0].facts.address
    curves = Store(toy_run.root).curves([address])
    assert curves.columns.tolist() == ["stimulus", "target", "unit", "curve", "cell"]
    assert curves["stimulus"].tolist() == result.shards[0].units["stimulus"].tolist()


def test_the_first_attributions_are_kept_for_the_figures(toy_run):
    from bcos_eval.store.examples import load_examples

    toy_run(methods=("bcos", "ixg"))
    kept = {(one.identity.kind, one.identity.method.label): one for one in load_examples(toy_run.root)}
    expected = {(kind, method) for kind in ("single", "grid2x2-bcos_v2") for method in ("bcos", "ixg")}
    assert set(kept) == {*expected, ("two_most_likely", "bcos")}
    assert kept["single", "bcos"].rgba is not None
    assert kept["single", "ixg"].rgba is None


def test_what_speaks_for_the_two_most_likely_classes_is_kept_and_sums_to_their_logits(toy_run):
    from bcos_eval.store.examples import TWO_MOST_LIKELY, load_examples

    toy_run(methods=("bcos",))
    (kept,) = (one for one in load_examples(toy_run.root) if one.identity.kind == TWO_MOST_LIKELY)
    network = toy_run.networks["bcos_toy"]
    images = torch.from_numpy(kept.images).movedim(-1, 1) / 255
    with torch.no_grad():
        logits = network(network.encode(images))
    assert kept.targets.tolist() == logits.topk(2).indices.tolist()
    assert kept.rgba is not None
    sums = torch.from_numpy(kept.maps.astype(np.float64)).sum((2, 3))
    bias = network(network.encode(images) * 0).detach()[0, 0]  # no evidence: the bias alone
    # Pictures and maps are kept in 8 and 16 bits.
    torch.testing.assert_close(sums, (logits.topk(2).values - bias).double(), rtol=0.02, atol=0.02)


def test_the_manifest_says_what_was_asked_and_with_what(toy_run):
    toy_run()
    run = json.loads((toy_run.root / "manifest.json").read_text())["runs"][0]
    assert run["outcome"] == "finished"
    assert run["asked"]["metrics"] == ["grid_pg", "energy_pg"]
    assert run["asked"]["seed"] == 0
    assert run["dataset"] == {
        "name": "toy",
        "digest": "toy-36-()-True",
        "n_images": 36,
        "input_sizes": {"bcos_toy": 8},
    }
    assert run["weights"] == {"bcos_toy": "random"}
    assert run["versions"]["bcos-eval"]
    assert run["machine"]["cores"] >= 1
    assert run["duration_seconds"] > 0


def test_ray_is_refused_where_it_is_not_installed(toy_run, monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda _name: None)
    with pytest.raises(InputError) as caught:
        toy_run(executor="ray")
    assert str(caught.value) == (
        "--executor ray needs Ray, which is not installed; pip install 'bcos-eval[ray]', or use --workers N."
    )


def test_other_processes_are_handed_names_only(toy_run):
    with pytest.raises(InputError) as caught:
        toy_run(workers=2)
    assert str(caught.value) == (
        "other processes cannot be handed models, data, explainers or metrics as objects; name them, also as "
        "FILE.py:NAME, or use one worker."
    )


def test_shares_of_the_work_are_together_one_run(toy_run, tmp_path):
    asked = {"methods": ("ixg", "random", "grad"), "metrics": ("energy_pg", "grid_pg")}
    whole = toy_run(root=tmp_path / "whole", **asked)
    first = toy_run(share=Share(1, 2), **asked)
    n_stored = len(list(first.shards))  # read when asked for: the other share is not there yet
    second = toy_run(share=Share(0, 2), **asked)
    assert (first.n_computed, second.n_computed) == (3, 3)
    assert n_stored < len(list(whole.shards))
    pd.testing.assert_frame_equal(scores(second), scores(whole), check_exact=True)


def test_what_another_process_is_computing_is_waited_for(toy_run, monkeypatch):
    whole = toy_run(metrics=("energy_pg",))
    address = whole.shards[0].facts.address
    path = Store(toy_run.root).units_path(address)
    content = path.read_bytes()
    path.unlink()
    claim = toy_run.root / "claims" / address.shard
    claim.write_text("another machine-1")
    looks = []

    def look(_claims):
        looks.append(claim)
        if len(looks) == 3:
            path.write_bytes(content)

    monkeypatch.setattr("bcos_eval.store.claims.Claims.wait", look)
    monkeypatch.setattr("bcos_eval.engine.task.compute", lambda *_: pytest.fail("computed twice"))
    result = toy_run(metrics=("energy_pg",))
    assert len(looks) == 3
    pd.testing.assert_frame_equal(scores(result), scores(whole), check_exact=True)


def test_records_of_processes_that_ended_are_closed_by_the_next_run(toy_run):
    toy_run()
    (path,) = (toy_run.root / "records").glob("*.json")
    record = read_sealed_json(path)
    # The machine is this one; numbers of processes are smaller.
    record.update(outcome="running", process=record["process"].partition("-")[0] + "-99999999")
    path.write_bytes(sealed_json(record))
    toy_run()
    outcomes = [run["outcome"] for run in json.loads((toy_run.root / "manifest.json").read_text())["runs"]]
    assert outcomes == ["interrupted", "finished"]


def test_progress_is_shown_on_standard_error_unless_quiet(toy_run, capsys, tmp_path, monkeypatch):
    monkeypatch.setattr("bcos_eval.engine.progress._LOG_INTERVAL", 0.0)
    toy_run(progress=Progress())
    shown = capsys.readouterr()
    assert shown.out == ""
    assert re.search(r"^explained: 18 of 18 stimuli, \d+ s passed$", shown.err, re.MULTILINE)
    toy_run(root=tmp_path / "quiet")
    assert "explained" not in capsys.readouterr().err


def test_an_executor_that_is_not_known_is_refused_before_the_work(toy_run):
    with pytest.raises(InputError) as caught:
        toy_run(executor="slurm")
    assert str(caught.value) == "unknown executor 'slurm'; known: local, ray."
