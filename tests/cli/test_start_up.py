"""What must answer at once must not load torch, which takes seconds."""

from __future__ import annotations

import subprocess
import sys

import pytest

# Runs a command in a fresh interpreter, then says on the last line of standard error whether torch was loaded.
RUNNER = """
import sys
from bcos_eval.cli import main
try:
    main(sys.argv[1:])
except SystemExit as end:
    print("\\ntorch" if "torch" in sys.modules else "\\nno torch", end.code, file=sys.stderr)
"""


@pytest.fixture
def fresh(tmp_path):
    """Runs a command in a new process; returns its exit code and output, after checking that torch stayed away."""

    def runner(*arguments):
        command = [sys.executable, "-c", RUNNER, *map(str, arguments)]
        done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, check=True)
        *shown, last = done.stderr.splitlines()
        loaded, code = last.rsplit(" ", 1)
        assert loaded == "no torch", arguments
        return int(code), done.stdout, "\n".join(shown).strip()

    return runner


@pytest.mark.parametrize("arguments", [("--help",), ("--version",), ("run", "--help"), ("bench", "--help")])
def test_help_loads_no_torch(fresh, arguments):
    assert fresh(*arguments)[0] == 0


@pytest.mark.parametrize("kind", ["models", "methods", "metrics", "datasets"])
def test_lists_load_no_torch(fresh, kind):
    code, out, _ = fresh("list", kind)
    assert code == 0
    assert out.startswith("name ")


RUN = ("run", "--model", "bcos_resnet18", "--metric", "grid_pg")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("run", "--model", "bcos_resnet5", "--metric", "grid_pg"), "unknown model 'bcos_resnet5'; did you mean"),
        ((*RUN, "--method", "gradcma"), "unknown method 'gradcma'; did you mean gradcam or"),
        ((*RUN, "--metric", "grid_gp"), "unknown metric 'grid_gp'; did you mean grid_pg or"),
        ((*RUN, "--dataset", "shape"), "unknown dataset 'shape'; did you mean shapes"),
        (("explain", "a.png", "--model", "resnet81", "--out", "b.png"), "unknown model 'resnet81'; did you mean"),
        (("train", "--model", "resnet81"), "unknown model 'resnet81'; did you mean"),
        (("bench", "--method", "limes"), "unknown method 'limes'; did you mean lime?"),
        (("aggatt", "--model", "resnet81"), "unknown model 'resnet81'; did you mean"),
        (("leaderbord",), "unknown command 'leaderbord'; did you mean leaderboard?"),
        (("leaderboard", "none"), "'none' holds no results;"),
    ],
)
def test_misspelt_names_are_refused_without_torch(fresh, arguments, message):
    code, out, err = fresh(*arguments)
    assert (code, out) == (2, "")
    assert err.startswith(f"error: {message}")
    assert "\n" not in err


def test_a_leaderboard_is_printed_without_torch(fresh, toy_run):
    toy_run(metrics=("energy_pg",))
    code, out, _ = fresh("leaderboard", toy_run.root)
    assert code == 0
    assert out.startswith("| dataset")
