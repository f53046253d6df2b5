from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "bench" / "gpu.sh"


def call(*arguments):
    environment = {**os.environ, "PYTHON": sys.executable}
    return subprocess.run([SCRIPT, *arguments], capture_output=True, text=True, check=False, env=environment)


def test_an_unknown_option_is_refused():
    ended = call("--gpu", "1")
    assert (ended.returncode, ended.stdout) == (2, "")
    assert ended.stderr == "gpu.sh: unknown option '--gpu'; it takes --device and --quick.\n"


@pytest.mark.slow
def test_every_step_is_tried_without_a_gpu_and_put_into_one_file(tmp_path):
    ended = call("--device", "cpu", "--quick", str(tmp_path))
    found = json.loads((tmp_path / "gpu.json").read_text())
    assert ended.returncode == 0, found
    assert set(found["steps"]) == {"tests", "passes", "explainers", "bfloat16"}
    assert len(found["steps"]["tests"]["differences"]) == 10
    rows = {name: found["steps"][name]["report"] for name in ("passes", "explainers", "bfloat16")}
    assert len(rows["passes"]["passes"]) == 6
    assert len(rows["explainers"]["explainers"]) == 12
    assert {row["variant"] for row in rows["bfloat16"]["variants"]} == {"bfloat16"}
