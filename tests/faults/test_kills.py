"""Runs that are killed end, when they are started again, in the table of a run that was not."""

from __future__ import annotations

import json
import random
import signal

import pytest

# In the normal run one of so many file operations; a prime, so that those tried are of all kinds.
STEP = 17
N_KILLS, N_FOLDERS = 25, 5


def table(out):
    return (out / "leaderboard.csv").read_bytes()


def finished_shards(out):
    """When each stored file of scores was written; what is finished must not be computed again."""
    return {path: path.stat().st_mtime_ns for path in (out / "units").rglob("[!.]*.parquet")}


def check_resumed(warm, command, out, expected):
    """Start a run again that was killed before, and check that nothing of it is lost or left over."""
    stored = finished_shards(out)
    again = warm(command, out)
    assert (again.code, table(out)) == (0, expected), again.stderr
    assert stored.items() <= finished_shards(out).items()
    assert [path for path in out.rglob("*") if path.name.endswith(".tmp")] == []
    assert list((out / "claims").glob("*")) == []
    outcomes = [run["outcome"] for run in json.loads((out / "manifest.json").read_text())["runs"]]
    assert outcomes[-1] == "finished"
    assert "running" not in outcomes


@pytest.fixture(scope="module")
def whole(warm, small_command, tmp_path_factory):
    """The table of a run that was not killed, the number of its file operations and its seconds."""
    out = tmp_path_factory.mktemp("whole") / "out"
    run = warm(small_command, out)
    assert run.code == 0, run.stderr
    return table(out), run.n_operations, run.seconds


def kill_at(warm, command, folder, whole, places):
    expected, n_operations, _ = whole
    for place in places(1, n_operations + 1):
        out = folder / str(place)
        assert warm(command, out, kill_at=place).code == -signal.SIGKILL
        check_resumed(warm, command, out, expected)


def test_a_run_killed_at_some_of_its_file_operations_ends_in_the_same_table(warm, small_command, tmp_path, whole):
    kill_at(warm, small_command, tmp_path, whole, lambda first, stop: range(first, stop, STEP))


@pytest.mark.slow
def test_a_run_killed_at_each_of_its_file_operations_ends_in_the_same_table(warm, small_command, tmp_path, whole):
    kill_at(warm, small_command, tmp_path, whole, range)


def kill_at_random(warm, command, out, expected, seconds, n_kills, draws):
    n_killed = 0
    for _ in range(n_kills):
        # Short enough that the last ones still find something to do.
        n_killed += warm(command, out, kill_after=draws.uniform(0, 0.5 * seconds)).code == -signal.SIGKILL
    check_resumed(warm, command, out, expected)
    return n_killed


def test_a_run_killed_at_three_random_moments_ends_in_the_same_table(warm, small_command, tmp_path, whole):
    expected, _, seconds = whole
    assert kill_at_random(warm, small_command, tmp_path / "out", expected, seconds, 3, random.Random(3)) == 3


@pytest.mark.slow
def test_runs_killed_at_25_random_moments_end_in_the_same_table(warm, small_command, tmp_path, whole):
    expected, _, seconds = whole
    draws, n_killed = random.Random(0), 0
    for number in range(N_FOLDERS):
        out = tmp_path / str(number)
        n_killed += kill_at_random(warm, small_command, out, expected, seconds, N_KILLS // N_FOLDERS, draws)
    assert n_killed == N_KILLS


@pytest.mark.slow
def test_a_run_with_workers_killed_at_five_random_moments_ends_in_the_same_table(
    warm, small_command, tmp_path, whole
):
    command = (*small_command, "--workers", "2")
    seconds = warm(command, tmp_path / "first").seconds  # workers load torch themselves
    assert table(tmp_path / "first") == whole[0]
    assert kill_at_random(warm, command, tmp_path / "out", whole[0], seconds, 5, random.Random(0)) == 5
