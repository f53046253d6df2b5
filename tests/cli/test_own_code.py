"""Models, explainers and metrics from a user's own file, from the command line."""

from __future__ import annotations

import json

import pandas as pd
import pytest
import torch
from PIL import Image

from bcos_eval.cli.main import main

OWN = """
    def left(model, images, targets, *, share: int = 2):
        maps = torch.zeros(*targets.shape, *images.shape[-2:])
        maps[..., : images.shape[-1] // share] = 1
        return maps

    def covered(maps):
        return (maps > 0).double().mean((2, 3))
"""


@pytest.fixture
def own(tmp_path, own_file):
    """The user's file."""
    return own_file(tmp_path, OWN)


@pytest.fixture
def call(capsys):
    """Runs a command; returns exit code, standard output and standard error."""

    def start(*arguments):
        with pytest.raises(SystemExit) as ended:
            main([str(argument) for argument in arguments])
        captured = capsys.readouterr()
        return ended.value.code, captured.out, captured.err

    return start


@pytest.fixture
def run(call, own, tmp_path):
    """Runs the user's network with an explainer and a metric of theirs among the suite's."""

    def start(*arguments):
        return call(
            *("run", "--model", f"{own}:Tiny", "--method", f"{own}:left,uniform", "--metric", f"{own}:covered"),
            *("--samples", "3", "--device", "cpu", "--quiet", "--out", tmp_path / "out", *arguments),
        )

    return start


def test_own_model_method_and_metric_stand_in_the_leaderboard(run, own, tmp_path):
    code, out, err = run("--param", "own.left.share=4")
    assert (code, err) == (0, "")
    board = pd.read_csv(tmp_path / "out" / "leaderboard.csv").set_index("method")
    assert board["mean"].to_dict() == {"own.left(share=4)": 0.25, "uniform": 1.0}
    assert set(board["model"]) == {"own.Tiny"}
    assert (set(board["metric"]), set(board["preset"])) == ({"own.covered"}, {"own"})
    assert "own.left(share=4)" in out
    asked = json.loads((tmp_path / "out" / "manifest.json").read_text())["runs"][0]["asked"]
    assert (asked["models"], asked["metrics"]) == ([f"{own}:Tiny"], [f"{own}:covered"])
    assert all(":" not in path.name and "/" not in path.name for path in (tmp_path / "out" / "units").iterdir())


def test_a_second_run_finds_everything_and_an_edited_file_nothing(run, own, tmp_path):
    def shards():
        return {path: path.stat().st_mtime_ns for path in (tmp_path / "out" / "units").glob("*/*.parquet")}

    run()
    first = shards()
    run()
    assert shards() == first
    own.write_text(own.read_text().replace("maps > 0", "maps >= 0"))
    run()
    assert (len(first), len(shards())) == (2, 4)


def test_a_dry_run_names_own_and_registered_ones(run, own):
    assert run("--dry-run")[1].splitlines()[:2] == [
        "own.Tiny × own.left × own.covered/own: at most 3 images",
        "own.Tiny × uniform × own.covered/own: at most 3 images",
    ]


@pytest.mark.parametrize("model", ["own.Tiny", "{own}:Tiny"])
def test_weights_of_an_own_model_are_named_as_in_tables_or_as_given(run, own, tmp_path, model):
    torch.manual_seed(0)
    torch.save({"features.0.weight": torch.zeros(4, 3, 8, 8)}, tmp_path / "w.pth")
    code, _, err = run("--weights", f"{model.format(own=own)}={tmp_path / 'w.pth'}")
    assert code == 2
    assert err.startswith(f"error: {tmp_path / 'w.pth'} does not fit Tiny: 3 missing (features.0.bias, ")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ("--model", "nowhere.py:f"),
            "cannot read '{cwd}/nowhere.py' (No such file or directory); give FILE.py:NAME.",
        ),
        (("--method", "{own}:lef"), "unknown method in {own} 'lef'; did you mean left?"),
        (("--metric", "{own}"), "'{own}' names a file and nothing in it; write FILE.py:NAME."),
        (("--param", "left.share=4"), "--param left.share=4: 'left' is not part of this run; it has …"),
    ],
)
def test_mistakes_are_one_line(run, own, arguments, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    code, _, err = run(*(argument.format(own=own) for argument in arguments))
    expected = message.format(own=own, cwd=tmp_path).split("…")[0]
    assert code == 2
    assert err.startswith(f"error: {expected}")
    assert err.count("\n") == 1


def test_explain_draws_own_explainers_of_own_models(call, own, tmp_path):
    Image.new("RGB", (64, 64), "red").save(tmp_path / "red.png")
    code, out, err = call(
        *("explain", tmp_path / "red.png", "--model", f"{own}:Tiny", "--method", f"{own}:left,ixg"),
        *("--target", "3", "--device", "cpu", "--out", tmp_path / "picture.png"),
    )
    assert (code, out, err) == (0, f"picture: {tmp_path / 'picture.png'}\n", "")
    assert (tmp_path / "picture.png").stat().st_size > 0
