from __future__ import annotations

import json
import re

import numpy as np
import pytest

from bcos_eval.cli.main import main
from bcos_eval.engine.request import RunRequest
from bcos_eval.engine.run import run


@pytest.fixture
def call(capsys):
    """Runs a command; returns exit code, standard output and standard error."""

    def caller(*arguments):
        with pytest.raises(SystemExit) as caught:
            main([str(argument) for argument in arguments])
        shown = capsys.readouterr()
        return caught.value.code, shown.out, shown.err

    return caller


@pytest.fixture
def folder(tmp_path, toy_dataset, toy_network):
    """A folder with results of both toys: grids of own and of shared pools, and single images."""
    networks = {"bcos_toy": toy_network(True), "toy": toy_network(False)}
    for metric, pool in (("grid_pg", "own"), ("grid_pg/bcos_v2", "shared"), ("energy_pg", "own")):
        request = RunRequest(
            models=tuple(networks),
            metrics=(metric,),
            methods=("ixg", "grad", "random"),
            dataset="toy",
            device="cpu",
            settings=("grid_pg.n=2",) if metric.startswith("grid_pg") else (),
            n_samples=4,
            pool=pool,
        )
        run(request, tmp_path / "out", networks=networks, dataset=toy_dataset())
    return tmp_path / "out"


def test_compare_pairs_models_on_shared_grids_and_single_images_only(call, folder, capsys):
    capsys.readouterr()
    code, out, err = call("compare", folder, "bcos_toy", "toy", "--format", "json")
    assert code == 0
    (table,) = json.loads(out)["tables"]
    found = {(row["preset"], row["method_a"], row["method_b"], row["n"]) for row in table["comparisons"]}
    assert {preset for preset, *_ in found} == {"bcos_v2(n=2)+shared", "default"}
    assert all(a == b for _, a, b, _ in found)
    assert {n for preset, _, _, n in found if preset == "default"} == {4}
    assert err == (
        "note: left out: grid_pg/bcos_v2(n=2) on toy was measured on different units for bcos_toy and toy: "
        "bcos_v2 builds each model's grids from its own confident images; run them together with --pool shared.\n"
    )


def test_compare_without_names_compares_all_pairs_of_each_table(call, folder, tmp_path, capsys):
    capsys.readouterr()
    code, out, _ = call("compare", folder, "--metric", "energy_pg")
    assert code == 0
    assert re.findall(r"^### (.*)$", out, re.MULTILINE) == [
        "toy, bcos_toy, energy_pg/default ↑",
        "toy, toy, energy_pg/default ↑",
    ]
    assert len(re.findall(r"^\| (?:ixg|grad|random) ", out, re.MULTILINE)) == 6
    file = tmp_path / "pairs.csv"
    assert call("compare", folder, "--out", file) == (0, f"comparison: {file}\n", "")
    assert len(file.read_text().splitlines()) == 1 + 3 * 2 * 3


def test_compare_refuses_what_it_cannot_pair_or_find(call, folder, tmp_path, capsys, monkeypatch):
    own = "grid_pg/bcos_v2(n=2)"
    cases = [
        (
            (folder, "bcos_toy", "toy", "--metric", own),
            f"{own} on toy was measured on different units for bcos_toy and toy: bcos_v2 builds each model's "
            "grids from its own confident images; run them together with --pool shared.",
        ),
        ((folder, "ixg", "gard"), "unknown model or method in these results 'gard'; did you mean grad?"),
        ((folder, "ixg"), f"'compare {folder} ixg' is not clear; write compare [DIR...] [A B]."),
        (("ixg",), "'compare ixg' is not clear; write compare [DIR...] [A B]."),
        (("ixg", "grad"), "'runs' holds no results; make some with `bcos-eval run --out runs`."),
        ((folder, "--dataset", "toi"), "unknown dataset in these results 'toi'; did you mean toy?"),
    ]
    monkeypatch.chdir(tmp_path)
    capsys.readouterr()
    for arguments, message in cases:
        assert call("compare", *arguments) == (2, "", f"error: {message}\n")


def test_several_folders_are_compared_as_one(call, folder, tmp_path, toy_dataset, toy_network):
    request = RunRequest(
        models=("bcos_toy",),
        metrics=("grid_pg", "energy_pg"),
        methods=("gradcam",),
        dataset="toy",
        device="cpu",
        settings=("grid_pg.n=2",),
        n_samples=4,
    )
    run(request, tmp_path / "more", networks={"bcos_toy": toy_network(True)}, dataset=toy_dataset())
    names = ("bcos_toy:ixg", "bcos_toy:gradcam", "--format", "json")
    code, out, _ = call("compare", folder, tmp_path / "more", *names)
    assert code == 0
    rows = {row["metric"]: row for table in json.loads(out)["tables"] for row in table["comparisons"]}
    row = rows["energy_pg"]
    assert (row["method_a"], row["method_b"], row["n"]) == ("ixg", "gradcam", 4)
    code, _, err = call("compare", tmp_path / "none", folder, *names)
    assert (code, err) == (
        2,
        f"error: 'compare {tmp_path / 'none'} {folder} bcos_toy:ixg bcos_toy:gradcam': there is no folder "
        f"'{tmp_path / 'none'}'.\n",
    )
    code, out, _ = call("agreement", folder, tmp_path / "more")
    assert code == 0
    assert "toy, bcos_toy (3 to 4 methods)" in out  # the pool that both models share is of the first folder


def test_agreement_prints_correlations_across_metrics_and_models(call, folder, capsys):
    capsys.readouterr()
    code, out, _ = call("agreement", folder)
    assert code == 0
    assert re.findall(r"^### (.*)$", out, re.MULTILINE) == ["toy, bcos_toy (3 methods)", "toy, toy (3 methods)"]
    code, out, _ = call("agreement", folder, "--across", "models", "--format", "json")
    assert code == 0
    assert np.isin([row["n_methods"] for row in json.loads(out)], 3).all()
    code, out, err = call("agreement", folder, "--no-controls")
    assert (code, out) == (2, "")
    assert err.startswith("error: no two metrics were run with 3 methods in common")


@pytest.mark.slow
def test_the_shipped_pair_is_compared_on_shared_grids_of_the_embedded_data(call, tmp_path):
    models = ("bcos_resnet18", "resnet18")
    code, _, _ = call(
        "run", "--model", ",".join(models), "--method", "gradcam", "--metric", "grid_pg", "--param", "grid_pg.n=2",
        "--samples", "4", "--pool", "shared", "--device", "cpu", "--quiet", "--out", tmp_path,
    )  # fmt: skip
    assert code == 0
    code, out, err = call("compare", tmp_path, *models, "--format", "json")
    assert (code, err) == (0, "")
    (row,) = json.loads(out)["tables"][0]["comparisons"]
    assert (row["preset"], row["n"], row["n_clusters"], row["n_unpaired"]) == ("bcos_v2(n=2)+shared", 16, 4, 0)
