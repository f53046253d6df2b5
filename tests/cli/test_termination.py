"""A scheduler's SIGTERM ends a run in order."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from textwrap import dedent

OWN = """
    import os, signal, torch

    def ending(model, images, targets):
        os.kill(os.getpid(), signal.SIGTERM)
        return images.sum(1, keepdim=True)
"""


def test_sigterm_is_recorded_and_ends_with_its_own_code(tmp_path):
    (tmp_path / "own.py").write_text(dedent(OWN), encoding="utf-8")
    out = tmp_path / "out"
    start = "from bcos_eval.cli import main; main()"
    command = [sys.executable, "-c", start, "run", "--model", "resnet18", "--metric", "energy_pg"]
    given = ["--method", f"{tmp_path / 'own.py'}:ending", "--samples", "2", "--device", "cpu", "--out", str(out)]
    ended = subprocess.run([*command, *given], capture_output=True, text=True, check=False)
    assert ended.returncode == 128 + signal.SIGTERM
    assert ended.stderr.splitlines()[-1] == (
        "interrupted; what was finished is stored, run the same command again to go on."
    )
    assert [run["outcome"] for run in json.loads((out / "manifest.json").read_text())["runs"]] == ["interrupted"]
