from __future__ import annotations

import json
import math

import pytest
import torch

from bcos_eval.cli.main import main

SMALL = ("--model", "resnet18", "--cell", "16", "--n", "2", "--targets", "2", "--repeats", "1", "--quiet")


@pytest.fixture
def call(capsys):
    def caller(*arguments):
        with pytest.raises(SystemExit) as caught:
            main(["bench", *arguments])
        shown = capsys.readouterr()
        return caught.value.code, shown.out, shown.err

    return caller


def test_json_holds_what_was_asked_and_measured(call):
    before = torch.get_num_threads()
    code, out, err = call(*SMALL, "--method", "ixg,gradcam", "--suite", "explainers", "--threads", "1", "--json")
    assert (code, err) == (0, "")
    found = json.loads(out)
    assert [row["explainer"] for row in found["explainers"]] == ["ixg", "gradcam"]
    assert found["perturbation"] == []
    assert found["settings"]["cell"] == 16
    assert found["machine"]["threads"] == 1
    assert torch.get_num_threads() == before
    for row in found["explainers"]:
        assert row["max_difference"] <= 1e-5
        assert all(math.isfinite(row[f"{side}_seconds"][0]) for side in ("alternative", "ours", "bare"))


def test_the_table_goes_to_standard_output_and_progress_to_standard_error(call, monkeypatch):
    monkeypatch.setattr("bcos_eval.engine.progress._LOG_INTERVAL", 0)  # no terminal: a line now and then
    arguments = [argument for argument in SMALL if argument != "--quiet"]
    code, out, err = call(*arguments, "--method", "grad", "--suite", "explainers")
    assert code == 0
    assert "| grad      | resnet18 | Captum Saliency |" in out
    assert "explainers: 3 of 3 measurements" in err
    assert "explainers:" not in out


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # the official B-cos code's own
def test_the_quick_benchmark_measures_every_row(call):
    code, out, _ = call("--quick", "--json", "--quiet")
    assert code == 0
    found = json.loads(out)
    assert len(found["explainers"]) == 12
    assert len(found["perturbation"]) == 2
    for row in (*found["explainers"], *found["perturbation"]):
        assert row["note"] == ""
        assert row["max_difference"] <= 1e-5
        assert row["ratio"] > 0
        assert row["bare_share"] > 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ("--method", "scorecamera"),
            "error: unknown method 'scorecamera'; did you mean scorecam or bcos_relative?",
        ),
        (
            ("--model", "resnet18", "--n", "1", "--cell", "16", "--targets", "2000", "--method", "ixg"),
            "error: --targets 2000 is not allowed: the model has 1000 classes; give fewer.",
        ),
        (("--model", ","), "error: --model is missing; give at least one, see `bcos-eval list models`."),
        (
            ("--suite", "end_to_end", "--model", "bcos_resnet18,resnet18"),
            "error: --suite end_to_end takes one B-cos model and --model names 2; give one.",
        ),
        (
            ("--suite", "end_to_end", "--model", "bcos_densenet121"),
            "error: the official library has no network of the layout of 'bcos_densenet121'; give a B-cos ResNet, "
            "for example --model bcos_resnet18.",
        ),
        (
            ("--suite", "end_to_end", "--device", "cuda"),
            "error: --suite end_to_end measures on the CPU and --device is cuda; leave it out.",
        ),
        (("--repeats", "0"), "error: Invalid value for '--repeats': 0 is not in the range x>=1."),
        (
            ("--suite", "metrics"),
            "error: Invalid value for '--suite': 'metrics' is not one of 'explainers', 'perturbation', "
            "'variants', 'passes', 'store', 'workers', 'end_to_end', 'all'.",
        ),
    ],
)
def test_bad_input_is_one_line_and_exit_code_2(call, arguments, message):
    code, out, err = call(*arguments)
    assert (code, out) == (2, "")
    assert err == f"{message}\n"
