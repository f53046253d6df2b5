from __future__ import annotations

import json
import time

import pytest
import torch

from bcos_eval.bench import end_to_end_suite
from bcos_eval.bench.end_to_end_suite import measure_end_to_end
from bcos_eval.bench.official_localisation import images_in_order, shares_of_cells
from bcos_eval.bench.phases import REST, START_UP, Phases
from bcos_eval.cli.main import main
from bcos_eval.metrics.localisation.grid_pg import grid_pointing_game
from bcos_eval.stimuli.grids.bcos import confident_order
from bcos_eval.stimuli.grids.compose import cell_regions

official = pytest.mark.filterwarnings("ignore")  # the official code's own


@official
@pytest.mark.slow
def test_the_run_and_the_official_analysis_score_the_same_grids_alike(capsys):
    pytest.importorskip("bcos")
    with pytest.raises(SystemExit) as caught:
        main(["bench", "--suite", "end_to_end", "--n", "2", "--stimuli", "4", "--repeats", "1", "--json"])
    assert caught.value.code == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["n_grids"], found["n_scores"]) == (4, 2 * 4 * 4)
    assert 0 <= found["max_difference"] <= 1e-5
    for side in ("official", "ours"):
        assert sum(found[side]["phases"].values()) == pytest.approx(found[side]["seconds"][0])
        missing = {name for name, seconds in found[side]["phases"].items() if not seconds > 0}
        assert missing == set()
    assert found["ratio"] == found["official"]["seconds"][0] / found["ours"]["seconds"][0]


@official
@pytest.mark.parametrize(
    ("scores", "classes", "message"),
    [
        ([[0.5, 0.2]], [[1, 2]], r"^scores differ by up to 1\.0e-01, more than 1e-05; no ratio is printed$"),
        ([[0.5, float("nan")]], [[1, 2]], r"^scores differ by up to nan, more than 1e-05; no ratio is printed$"),
        (
            [[0.5, 0.1]],
            [[2, 1]],
            r"^the official analysis made 1 grids and the run 1, not all of the same classes; no ratio is "
            r"printed$",
        ),
    ],
)
def test_no_ratio_is_printed_of_other_scores_or_grids(scores, classes, message, monkeypatch):
    pytest.importorskip("bcos")

    def timed(_program, folder, _arguments, _environment):
        result = {"targets": [[1, 2]], "scores": {"bcos": [[0.5, 0.1]], "gradcam": [[0.5, 0.1]]}}
        (folder / "scores.json").write_text(json.dumps(result))
        return {}

    monkeypatch.setattr(end_to_end_suite, "_timed", timed)
    stored = {"bcos": scores, "gradcam": [[0.5, 0.1]]}, classes
    monkeypatch.setattr(end_to_end_suite, "_stored_scores", lambda _out: stored)
    with pytest.raises(RuntimeError, match=message):
        measure_end_to_end(["bcos_resnet18"], {}, n=2, n_stimuli=1, repeats=1)


def test_images_come_in_the_order_of_the_grids_of_a_run():
    generator = torch.Generator().manual_seed(0)
    labels = torch.randint(7, (300,), generator=generator).tolist()
    logits, correct = torch.randn(300, generator=generator), torch.rand(300, generator=generator) < 0.8
    ranked = {
        label: sorted(
            [(i, float(logits[i])) for i in range(300) if labels[i] == label and correct[i]],
            key=lambda one: -one[1],
        )
        for label in range(7)
    }
    assert images_in_order(ranked, 4) == confident_order(labels, logits, correct, n_cells=4)


def test_shares_of_cells_are_the_grid_pointing_game():
    maps = torch.randn(4, 6, 6, generator=torch.Generator().manual_seed(0))
    regions = cell_regions(2, 3, 3, placement="column_major")
    torch.testing.assert_close(
        shares_of_cells(maps, 2), grid_pointing_game(maps[None], regions[None])[0].float(), rtol=1e-6, atol=0
    )


def test_a_phase_inside_another_stops_its_clock(tmp_path):
    class Worker:
        def work(self):
            time.sleep(0.05)

    phases = Phases(time.monotonic() - 1)
    phases.count(Worker, "work", "inner")
    with phases.of("outer"):
        Worker().work()
        time.sleep(0.02)
    phases.follow(REST)
    phases.save(tmp_path / "phases.json")
    found = json.loads((tmp_path / "phases.json").read_text())
    assert set(found) == {START_UP, "outer", "inner", REST}
    assert found[START_UP] >= 1
    assert found["inner"] >= 0.05
    assert 0.02 <= found["outer"] < 0.05
    assert found[REST] < 0.02
