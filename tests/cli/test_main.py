from __future__ import annotations

import errno
import json
import re

import click
import pandas as pd
import pytest
from PIL import Image

from bcos_eval import data as data_package
from bcos_eval import models as models_package
from bcos_eval.cli.main import COMMANDS, bcos_eval, main
from bcos_eval.data import DatasetInfo
from bcos_eval.data import registry as data_registry
from bcos_eval.models import ModelInfo

GRIDS = ("--param", "grid_pg.n=2")


@pytest.fixture(autouse=True)
def registered_toys(monkeypatch, toy_dataset, toy_network):
    """The toy data and networks, by name."""
    monkeypatch.setitem(data_package.DATASETS, "toy", DatasetInfo("toy", "six colours"))
    monkeypatch.setitem(data_registry._LOADERS, "toy", lambda *_: toy_dataset())
    for name in ("bcos_toy", "toy"):
        is_bcos = name == "bcos_toy"
        info = ModelInfo(
            name, "Toy", is_bcos, lambda _variant, _n, is_bcos=is_bcos: toy_network(is_bcos), "none", "test"
        )
        monkeypatch.setitem(models_package.MODELS, name, info)


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
def run(call, tmp_path):
    """Runs `bcos-eval run` on the toys."""

    def runner(*arguments):
        fixed = ("--dataset", "toy", "--weights", "random", "--device", "cpu", "--samples", "12")
        return call("run", *fixed, "--out", tmp_path / "out", *arguments)

    return runner


def test_run_prints_the_rows_and_where_they_lie(run, tmp_path, monkeypatch):
    monkeypatch.setattr("bcos_eval.engine.progress._LOG_INTERVAL", 0)  # no terminal: a line now and then
    code, out, err = run("--model", "bcos_toy", "--metric", "energy_pg,pointing_game", "--method", "bcos,ixg")
    assert code == 0
    rows = [line for line in out.splitlines() if line.startswith("| toy")]
    assert len(rows) == 4
    assert out.splitlines()[-1] == f"leaderboard: {tmp_path}/out/leaderboard.csv"
    assert re.search(r"^explained: (\d+) of \1 stimuli, \d s passed$", err, re.MULTILINE)
    assert len(pd.read_csv(tmp_path / "out" / "leaderboard.csv")) == 4


def test_running_again_prints_the_same_and_computes_nothing(run):
    arguments = ("--model", "bcos_toy", "--metric", "grid_pg", *GRIDS)
    first, second = run(*arguments), run(*arguments)
    assert first[:2] == second[:2]
    assert "1 of 1 shards are stored already." in second[2]


def test_quiet_shows_no_bars_but_notes(run):
    _, _, err = run("--model", "bcos_toy", "--metric", "grid_pg", *GRIDS, "--quiet", "--samples", "100")
    assert re.fullmatch(r"note: bcos_toy: \d+ 2×2 grids instead of 100; the data give no more\.\n", err)


def test_a_config_file_has_the_same_keys_and_options_win(run, tmp_path):
    config = tmp_path / "run.toml"
    config.write_text('model = "toy"\nmetric = ["grid_pg", "energy_pg"]\nseed = 3\n[param.grid_pg]\nn = 2\n')
    code, out, _ = run("--config", config, "--model", "bcos_toy", "--dry-run")
    assert code == 0
    assert out.startswith(
        "bcos_toy × bcos × grid_pg/bcos_v2(n=2): at most 12 2×2 grids\n"
        "bcos_toy × bcos × energy_pg/default: at most 12 images\n"
        "2 rows of the leaderboard; 24 explained stimuli to compute\n"
    )


def test_parameters_of_a_config_file_may_speak_of_methods_left_out(run, tmp_path):
    config = tmp_path / "run.toml"
    config.write_text(
        'model = "bcos_toy"\nmetric = "energy_pg"\nmethod = ["ixg", "smoothgrad"]\n'
        "[param.smoothgrad]\nn_samples = 2\n[param.energy_pg]\nsmoothing = 3\n"
    )
    code, out, _ = run("--config", config, "--method", "ixg", "--dry-run")
    assert (code, out.splitlines()[0]) == (
        0,
        "bcos_toy × ixg × energy_pg/default(smoothing=3): at most 12 images",
    )
    # Those on the command line come on top.
    code, out, _ = run(
        "--config", config, "--method", "smoothgrad", "--param", "smoothgrad.noise_fraction=0.2", "--dry-run"
    )
    assert code == 0
    assert out.startswith("bcos_toy × smoothgrad(n_samples=2,noise_fraction=0.2)")
    config.write_text("[param.smothgrad]\nn_samples = 2\n")
    code, _, err = run("--config", config, "--model", "bcos_toy", "--metric", "energy_pg", "--dry-run")
    assert code == 2
    assert err == (
        "error: unknown method or metric in the param table of --config 'smothgrad'; did you mean smoothgrad or "
        "intgrad or grad?\n"
    )


def test_methods_that_do_not_fit_are_left_out_unless_nothing_else_was_asked_for(run):
    code, out, err = run("--model", "toy", "--metric", "energy_pg", "--method", "bcos,ixg,rollout", "--dry-run")
    assert code == 0
    assert out.splitlines()[0].startswith("toy × ixg × ")
    assert [line.split("'")[1] for line in err.splitlines() if line.startswith("note: left out: ")] == [
        "bcos",
        "rollout",
    ]


def test_after_a_run_the_file_s_further_rows_are_mentioned(run, tmp_path):
    run("--model", "bcos_toy", "--metric", "energy_pg", "--method", "ixg")
    _, _, err = run("--model", "bcos_toy", "--metric", "energy_pg", "--method", "random", "--quiet")
    assert err == (f"note: the file has 2 rows, all that '{tmp_path}/out' holds; above are those of this run.\n")


def test_a_dry_run_writes_nothing(run, tmp_path):
    code, out, _ = run("--model", "bcos_toy,toy", "--metric", "energy_pg", "--method", "bcos,ixg", "--dry-run")
    assert code == 0
    lines = out.splitlines()
    assert lines[:4] == [
        "bcos_toy × bcos × energy_pg/default: at most 12 images",
        "bcos_toy × ixg × energy_pg/default: at most 12 images",
        "toy × ixg × energy_pg/default: at most 12 images",
        "3 rows of the leaderboard; 36 explained stimuli to compute",
    ]
    of_cell = "× energy_pg/default: 12 forward and 12 backward passes, about "
    assert [of_cell in line for line in lines[4:7]] == [True] * 3
    assert lines[7].startswith(
        "together, attributions made once for all metrics: 36 forward and 36 backward passes"
    )
    assert len(lines) == 8
    assert not (tmp_path / "out").exists()


def matches(line, message):
    """Whether an error line is this message; `…` stands for names that change with the registries."""
    return re.fullmatch(".+".join(map(re.escape, f"error: {message}\n".split("…"))), line)


OK = ("--model", "bcos_toy", "--metric", "energy_pg")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--metric", "grid_pg"), "no model given; name one with --model, see `bcos-eval list models`."),
        (("--model", "bcos_toy"), "no metric given; name one with --metric, see `bcos-eval list metrics`."),
        (
            ("--model", "bcos_resnet51", "--metric", "energy_pg"),
            "unknown model 'bcos_resnet51'; did you mean bcos_resnet50 or …?",
        ),
        ((*OK, "--method", "gradcan"), "unknown method 'gradcan'; did you mean gradcam or …?"),
        ((*OK, "--metric", "energy_gp"), "unknown metric 'energy_gp'; did you mean energy_pg or …?"),
        ((*OK, "--dataset", "toi"), "unknown dataset 'toi'; did you mean toy?"),
        ((*OK, "--samples", "0"), "--samples 0 is not allowed; give 1 or more."),
        ((*OK, "--samples", "many"), "Invalid value for '--samples': 'many' is not a valid integer."),
        ((*OK, "--batch-size", "big"), "--batch-size 'big' is not allowed; give a number or auto."),
        ((*OK, "--executor", "slurm"), "unknown executor 'slurm'; known: local, ray."),
        (
            (*OK, "--param", "energy_pg.k=2"),
            "--param energy_pg.k=2: 'energy_pg' has no parameter 'k'; allowed: smoothing.",
        ),
        (
            ("--model", "toy", "--metric", "energy_pg", "--method", "bcos"),
            "method 'bcos' needs a B-cos model and 'toy' is none; "
            "use ixg, intgrad, gradcam or another post-hoc method",
        ),
        (
            ("--model", "toy,bcos_toy", "--metric", "energy_pg", "--weights", "a.pth"),
            "--weights 'a.pth': with several models write MODEL=FILE, MODEL being one of them.",
        ),
        (
            (*OK, "--weights", "/nonexistent.pth"),
            "no weights file at /nonexistent.pth; pass a .pth or .safetensors file",
        ),
        (
            (*OK, "--dataset", "folder", "--data-dir", "/nonexistent"),
            "there is no directory '/nonexistent'; --data-dir must be …",
        ),
        (
            (*OK, "--device", "gpu"),
            "Invalid value for '--device': there is no device 'gpu'; give auto, cpu, cuda or cuda:1, ….",
        ),
        (
            (*OK, "--method", "IG", "--param", "Integrated-Gradients.n_step=5"),
            "--param intgrad.n_step=5: 'intgrad' has no parameter 'n_step'; allowed: …",
        ),
        (
            (*OK, "--param", "lime.n_samples=5"),
            "--param lime.n_samples=5: 'lime' is not part of this run, which has bcos; add --method lime.",
        ),
        ((*OK, "--seed", "-1"), "Invalid value for '--seed': -1 is not in the range x>=0."),
        ((*OK, "--no-such-option"), "No such option …--no-such-option…."),
        (
            (*OK, "--config", "/nonexistent.toml"),
            "--config '/nonexistent.toml': No such file or directory; give a TOML file.",
        ),
    ],
)
def test_wrong_input_gets_one_line_and_exit_code_2(run, arguments, message):
    code, out, err = run(*arguments)
    assert code == 2
    assert out == ""
    assert err.count("\n") == 1
    assert matches(err, message)


def test_an_interruption_exits_with_130_and_says_how_to_go_on(run, monkeypatch):
    def interrupted(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr("bcos_eval.engine.task.compute", interrupted)
    code, out, err = run("--model", "bcos_toy", "--metric", "energy_pg", "--quiet")
    assert (code, out) == (130, "")
    expected = "interrupted; what was finished is stored, run the same command again to go on."
    assert err.strip() == expected


def test_a_bug_is_told_in_one_line_logged_and_keeps_what_was_stored(run, monkeypatch, tmp_path, call):
    folder = tmp_path / "out"
    assert run("--model", "bcos_toy", "--metric", "energy_pg")[0] == 0
    monkeypatch.setattr("bcos_eval.engine.task.score_batch", lambda *_, **__: 1 / 0)
    code, out, err = run("--model", "bcos_toy", "--metric", "pointing_game", "--quiet")
    assert (code, out) == (1, "")
    assert err == (
        "error: unexpected ZeroDivisionError: division by zero; the traceback is in "
        f"'{folder}/error.log', please report it.\n"
    )
    log = (folder / "error.log").read_text()
    assert "bcos-eval run --dataset toy" in log
    assert "Traceback (most recent call last)" in log
    assert log.rstrip().endswith("ZeroDivisionError: division by zero")
    outcomes = [one["outcome"] for one in json.loads((folder / "manifest.json").read_text())["runs"]]
    assert outcomes == ["finished", "failed"]
    assert call("leaderboard", folder)[0] == 0


def test_what_the_system_refuses_is_told_in_one_line(run, monkeypatch, tmp_path):
    def full(*_, **__):
        raise OSError(errno.ENOSPC, "No space left on device", "/results/a.parquet")

    monkeypatch.setattr("bcos_eval.engine.task.score_batch", full)
    code, out, err = run("--model", "bcos_toy", "--metric", "energy_pg", "--quiet")
    assert (code, out) == (2, "")
    assert err == (
        "error: '/results/a.parquet': No space left on device; make room or correct the path, and run the same "
        "command again.\n"
    )


@pytest.mark.parametrize("kind", ["models", "methods", "metrics", "datasets"])
def test_list_prints_text_and_json(call, kind):
    code, out, _ = call("list", kind, "--json")
    assert code == 0
    names = [row["name"] for row in json.loads(out)]
    text = call("list", kind)[1]
    assert [line.split()[0] for line in text.splitlines()] == ["name", *names]


def test_leaderboard_prints_stored_results_in_each_form(run, call, tmp_path):
    run("--model", "bcos_toy", "--metric", "energy_pg")
    folder = tmp_path / "out"
    stored = (folder / "leaderboard.csv").read_text()
    assert call("leaderboard", folder, "--format", "csv") == (0, stored, "")
    assert call("leaderboard", folder)[1].startswith("| dataset")
    file = tmp_path / "table.html"
    assert call("leaderboard", folder, "--out", file) == (0, f"leaderboard: {file}\n", "")
    assert file.read_text().startswith("<!doctype html>")


def test_leaderboard_puts_folders_together_and_selects(run, call, tmp_path):
    other = tmp_path / "other"
    run("--model", "bcos_toy", "--metric", "energy_pg,pointing_game", "--method", "ixg")
    run("--model", "bcos_toy", "--metric", "energy_pg", "--method", "random,ixg", "--out", other, "--seed", "1")
    code, out, err = call("leaderboard", tmp_path / "out", other, "--wide")
    assert code == 0
    rows = [line.split("|")[3].strip() for line in out.splitlines() if line.startswith("| toy")]
    assert rows == ["ixg", "random (control)", "chance level"]
    assert err == f"note: 1 rows of '{other}' are measured otherwise in '{tmp_path}/out', whose are shown.\n"
    narrowed = call("leaderboard", tmp_path / "out", "--only", "metric=energy_pg", "--format", "csv")[1]
    assert [line.split(",")[4] for line in narrowed.splitlines()] == ["metric", "energy_pg"]
    table = tmp_path / "table.tex"
    assert call("leaderboard", tmp_path / "out", "--sort", "energy_pg", "--out", table)[0] == 0
    assert table.read_text().splitlines()[1].startswith("\\begin{tabular}")
    code, _, err = call("leaderboard", tmp_path / "out", "--out", tmp_path / "table.doc")
    assert code == 2
    assert "has an ending that stands for no form; use .md, .csv, .html, .tex, or say --format." in err


def test_leaderboard_says_what_it_leaves_out(run, call, tmp_path):
    for seed in ("0", "1"):
        run("--model", "bcos_toy", "--metric", "energy_pg", "--seed", seed)
    _, out, err = call("leaderboard", tmp_path / "out")
    assert out.count("| toy") == 1
    assert err == (
        "note: 1 cells with another seed, version or data are left out; "
        "of each row the one asked for last is shown.\n"
    )


def test_damaged_files_are_named_wherever_their_units_are_missing(run, call, tmp_path):
    folder = tmp_path / "out"
    run("--model", "bcos_toy", "--metric", "energy_pg", "--method", "ixg")
    (damaged,) = (folder / "units").glob("*/*.parquet")
    run("--model", "bcos_toy", "--metric", "energy_pg", "--method", "random")
    damaged.write_bytes(b"garbage")
    note = (
        f"note: left out '{damaged}', which is damaged or of another version; the same `run` computes it again.\n"
    )
    assert call("leaderboard", folder)[2] == note
    first, *others = call("figures", folder, "--out", tmp_path / "figures")[2].splitlines(keepends=True)
    assert first == note
    assert all(line.startswith("note: not drawn: figure ") for line in others)
    assert note in run("--model", "bcos_toy", "--metric", "energy_pg", "--method", "random")[2]
    _, _, err = run("--model", "bcos_toy", "--metric", "energy_pg", "--method", "ixg")
    assert f"computed '{damaged}' again" in err
    assert call("leaderboard", folder)[2] == ""


@pytest.mark.parametrize("command", [("leaderboard",), ("figures", "--out", "figures")])
def test_a_folder_without_results_is_an_error(call, tmp_path, monkeypatch, command):
    monkeypatch.chdir(tmp_path)
    code, out, err = call(command[0], tmp_path / "none", *command[1:])
    assert (code, out) == (2, "")
    assert err.startswith("error: ")
    assert err.count("\n") == 1


def test_explain_writes_a_picture(call, tmp_path):
    picture, image = tmp_path / "out.png", tmp_path / "image.png"
    Image.new("RGB", (12, 10), (250, 10, 10)).save(image)
    code, out, _ = call(
        "explain", image, "--model", "bcos_toy", "--weights", "random", "--dataset", "toy", "--method", "bcos,ixg",
        "--device", "cpu", "--out", picture,
    )  # fmt: skip
    assert (code, out) == (0, f"picture: {picture}\n")
    with Image.open(picture) as drawn:
        assert drawn.format == "PNG"


def test_explain_takes_folders_and_the_most_likely_classes(call, tmp_path):
    folder = tmp_path / "pictures"
    folder.mkdir()
    for name, colour in (("red.png", (250, 10, 10)), ("blue.png", (10, 10, 250))):
        Image.new("RGB", (12, 10), colour).save(folder / name)
    arguments = ("--model", "bcos_toy", "--weights", "random", "--dataset", "toy", "--device", "cpu")
    code, out, _ = call("explain", folder, *arguments, "--target", "top2", "--out", tmp_path / "out")
    assert (code, out) == (0, f"picture: {tmp_path}/out/blue.png\npicture: {tmp_path}/out/red.png\n")
    sizes = []
    for target in ("top1", "top3"):
        sheet = tmp_path / f"{target}.png"
        assert call("explain", folder, *arguments, "--target", target, "--out", sheet)[0] == 0
        with Image.open(sheet) as drawn:
            sizes.append(drawn.height)
    assert sizes[1] > 2 * sizes[0]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("--target", "rde"), "unknown target 'rde'; did you mean red…?"),
        (("--target", "6"), "unknown target '6'; known: blue, cyan, green, magenta, red, yellow."),
        (("--method", "gradcan"), "unknown method 'gradcan'; did you mean gradcam or …?"),
        (("--out", "picture.txt"), "--out 'picture.txt' must end in …; rename it."),
    ],
)
def test_explain_refuses_wrong_input(call, tmp_path, change, message):
    image = tmp_path / "image.png"
    Image.new("RGB", (8, 8)).save(image)
    code, out, err = call(
        "explain", image, "--model", "bcos_toy", "--weights", "random", "--dataset", "toy", "--device", "cpu",
        "--out", tmp_path / "out.png", *change,
    )  # fmt: skip
    assert (code, out) == (2, "")
    assert matches(err, message)
    assert err.count("\n") == 1


def test_train_refuses_an_unknown_model(call, tmp_path):
    code, _, err = call("train", "--model", "bcos_resnet51", "--out", tmp_path)
    assert code == 2
    assert matches(err, "unknown model 'bcos_resnet51'; did you mean bcos_resnet50 or …?")


def test_without_arguments_the_help_is_shown(call):
    code, out, _ = call()
    assert code == 0
    commands = ("run", "list", "explain", "leaderboard", "figures", "train", "doctor")
    assert all(re.search(rf"^  {name} ", out, re.MULTILINE) for name in commands)


def test_every_option_has_help(call):
    for name in COMMANDS:
        command = bcos_eval.get_command(click.Context(bcos_eval), name)
        options = [option for option in command.params if option.param_type_name == "option"]
        assert [option.name for option in options if not option.help] == []


def test_the_help_has_the_commands_own_lines():
    for name, line in COMMANDS.items():
        command = bcos_eval.get_command(click.Context(bcos_eval), name)
        assert command.get_short_help_str(limit=120) == line, name
