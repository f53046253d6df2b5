from __future__ import annotations

import pytest

from bcos_eval.cli.main import main

ASKED = ("--model", "bcos_resnet18", "--dataset", "shapes", "--device", "cpu", "--quiet")


@pytest.fixture
def call(capsys):
    """Runs `bcos-eval aggatt`; returns exit code, standard output and standard error."""

    def caller(*arguments):
        with pytest.raises(SystemExit) as caught:
            main(["aggatt", *ASKED, *[str(argument) for argument in arguments]])
        shown = capsys.readouterr()
        return caught.value.code, shown.out, shown.err

    return caller


def test_metrics_of_single_images_are_refused_in_one_line(call, tmp_path):
    code, out, err = call("--metric", "energy_pg", "--out", tmp_path)
    assert (code, out) == (2, "")
    assert err == (
        "error: aggatt shows attributions of grids and metric 'energy_pg/default' is not measured on them; use "
        "difull, dipart or grid_pg.\n"
    )


@pytest.mark.slow
def test_figures_of_a_shipped_network_are_written_and_named(call, tmp_path):
    asked = ("--metric", "grid_pg/how_to_probe", "--method", "bcos,random", "--samples", "30")
    code, out, _ = call(*asked, "--param", "grid_pg.n=2", "--out", tmp_path)
    assert code == 0
    name = "aggatt-shapes-bcos_resnet18-grid_pg_how_to_probe(n=2)-grid2x2-how_to_probe"
    assert out.split() == [f"{tmp_path}/aggatt/{name}{end}" for end in (".pdf", ".png", ".txt")]
