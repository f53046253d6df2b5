"""Runs that are killed at random moments end, when they are started again, in the table of a run that was not."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time

import pytest

START = "from bcos_eval.cli import main; main()"
ASKED = (
    "run", "--model", "resnet18", "--method", "ixg,random", "--metric", "energy_pg,pointing_game",
    "--samples", "60", "--device", "cpu", "--quiet",
)  # fmt: skip


def command(out, *more):
    return [sys.executable, "-c", START, *ASKED, "--out", str(out), *more]


def table(out):
    return (out / "leaderboard.csv").read_bytes()


def finish_despite_kills(out, n_kills, seed, *more):
    """Kill a run `n_kills` times after random waits, each time starting it again, then let it end."""
    draws = random.Random(seed)
    for n_killed in range(n_kills + 1):
        process = subprocess.Popen(
            command(out, *more), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
        )
        if n_killed == n_kills:
            assert process.wait() == 0
            return
        # From before the first file to after the last one, whatever the machine: waits grow with the run's length.
        time.sleep(draws.uniform(0.5, 1.5) * (1 + 9 * draws.random()))
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def check(tmp_path, n_kills, *more):
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    subprocess.run(command(whole), check=True, capture_output=True)
    finish_despite_kills(killed, n_kills, 0, *more)
    assert table(killed) == table(whole)
    assert [path for path in killed.rglob("*") if path.name.endswith(".tmp")] == []
    assert list((killed / "claims").iterdir()) == []


@pytest.mark.slow
@pytest.mark.parametrize("more", [(), ("--workers", "2")], ids=["one process", "two workers"])
def test_a_run_killed_twenty_five_times_ends_in_the_same_table(tmp_path, more):
    check(tmp_path, 25, *more)


@pytest.mark.slow
def test_a_run_killed_twice_ends_in_the_same_table(tmp_path):
    check(tmp_path, 2)
