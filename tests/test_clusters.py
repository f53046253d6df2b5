"""The files for clusters say what the command line takes."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

from bcos_eval.cli.run import run_command

FOLDER = Path(__file__).parents[1] / "docs" / "clusters"
OPTIONS = {name for option in run_command.params for name in option.opts}


@pytest.mark.parametrize("path", sorted(FOLDER.iterdir()), ids=lambda path: path.name)
def test_options_exist(path):
    (command,) = re.findall(r"bcos-eval,? run(.*)", path.read_text(encoding="utf-8"))[-1:]
    assert set(re.findall(r"--[a-z-]+", command)) <= OPTIONS


@pytest.mark.parametrize("name", ["run.sbatch", "ray.sh"])
def test_scripts_hand_over_what_they_are_given(tmp_path, name):
    fake = tmp_path / "bcos-eval"
    fake.write_text('#!/bin/bash\nprintf "%s\\n" "$@"\n')
    fake.chmod(0o755)
    environment = {"PATH": f"{tmp_path}:/usr/bin:/bin", "OUT": "folder"}
    shown = subprocess.run(
        ["bash", str(FOLDER / name), "--model", "resnet18"],
        capture_output=True,
        text=True,
        check=True,
        env=environment,
    ).stdout.split()
    assert shown[:3] == ["run", "--model", "resnet18"]
    assert "folder" in shown
