from __future__ import annotations

from bcos_eval.bench.bench_table import bench_text, markdown
from bcos_eval.bench.report import BenchReport, ExplainerRow, PerturbationRow, Times

MACHINE = {"processor": "Abacus", "cores": 2, "threads": 1, "versions": {"torch": "2.4", "bcos": None}}
TIMES = Times(alternative=(6.0, 9.0, 5.0), ours=(2.0, 1.0, 3.0), bare=(1.5, 1.7, 1.6))
ROW = ExplainerRow("lime", "resnet18", "Captum Lime", {"n_samples": 8}, 9, 1, TIMES, 2.5e-7)
ABSENT = PerturbationRow(
    "pixel_deletion/default", "resnet18", "Quantus", 0, 2, note="not installed: pip install q"
)
REPORT = BenchReport(MACHINE, {"cell": 64}, (ROW,), (ABSENT,))


def cells(line):
    return [cell.strip() for cell in line.strip("|").split("|")]


def test_a_row_shows_medians_their_ratio_and_what_was_reduced():
    lines = bench_text(REPORT).splitlines()
    assert lines[0] == "Abacus, 2 cores, 1 threads; torch 2.4"
    assert cells(lines[4]) == [
        "lime",
        "resnet18",
        "Captum Lime",
        "n_samples=8, measured 1 of 9 targets",
        "6",
        "2",
        "3.00×",
        "2e-07",
        "80%",
        "–",
    ]


def test_what_was_not_measured_is_a_dash_and_a_note():
    (line,) = (line for line in bench_text(REPORT).splitlines() if "Quantus" in line)
    assert cells(line)[3:] == ["–", "–", "–", "–", "–", "–", "–", "not installed: pip install q"]


def test_columns_are_aligned_and_bars_escaped():
    table = markdown([{"explainer": "a|b", "ratio": "1"}, {"explainer": "c", "ratio": "10"}])
    assert table.splitlines() == [
        "| explainer | ratio |",
        "| --------- | ----: |",
        "| a\\|b      |     1 |",
        "| c         |    10 |",
    ]


def test_json_has_the_schema_all_repetitions_and_null_for_what_is_missing():
    found = REPORT.as_json()
    assert set(found) == {"schema", "machine", "settings", "explainers", "perturbation", "variants", "passes"}
    assert found["schema"] == 1
    assert found["explainers"] == [
        {
            "explainer": "lime",
            "model": "resnet18",
            "alternative": "Captum Lime",
            "params": {"n_samples": 8},
            "n_targets": 9,
            "n_measured": 1,
            "max_difference": 2.5e-7,
            "note": "",
            "ratio": 3.0,
            "bare_share": 0.8,
            "alternative_seconds": [6.0, 9.0, 5.0],
            "ours_seconds": [2.0, 1.0, 3.0],
            "bare_seconds": [1.5, 1.7, 1.6],
        }
    ]
    assert found["perturbation"][0]["ratio"] is None
    assert found["perturbation"][0]["max_difference"] is None
    assert found["perturbation"][0]["ours_seconds"] == []
