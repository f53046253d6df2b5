"""Disks that are full or may not be written to, and commands that share a folder."""

from __future__ import annotations

import errno
import json
import os
import subprocess
from pathlib import Path

import pytest

from bcos_eval.store.integrity import completeness_findings, file_findings

# In the normal run one of so many file operations.
STEP = 29
WRITES = "open", "os.mkdir", "half written"
CHANGES = (*WRITES, "os.rename", "os.remove", "os.rmdir", "os.utime", "os.truncate")


def table(out):
    return (out / "leaderboard.csv").read_bytes()


@pytest.fixture(scope="module")
def whole(warm, small_command, tmp_path_factory):
    out = tmp_path_factory.mktemp("whole") / "out"
    run = warm(small_command, out)
    assert run.code == 0, run.stderr
    return table(out), run.n_operations


def check_refused(ended, out, reason):
    """One line that says what is the matter, exit code 2, nothing half written."""
    assert ended.code == 2, ended.stderr
    (line,) = [line for line in ended.stderr.splitlines() if line.startswith("error: ")]
    assert reason in line
    assert "Traceback" not in ended.stderr
    assert [finding.text for finding in file_findings(out) if finding.severity == "wrong"] == []


def fill_at(warm, command, folder, whole, places):
    expected, n_operations = whole
    refused = dict.fromkeys(WRITES, errno.ENOSPC)
    for place in places(1, n_operations + 1):
        out = folder / str(place)
        full = warm(command, out, refuse_from=place, refused=refused)
        if full.code != 0:  # the last operations only tidy up, and the cache of the table is none of the results
            check_refused(full, out, "No space left on device")
        again = warm(command, out)
        assert (again.code, table(out)) == (0, expected), again.stderr


def test_a_disk_that_is_full_in_the_middle_of_a_run_loses_nothing(warm, small_command, tmp_path, whole):
    fill_at(warm, small_command, tmp_path, whole, lambda first, stop: range(first, stop, STEP))


@pytest.mark.slow
def test_a_disk_that_is_full_at_each_file_operation_loses_nothing(warm, small_command, tmp_path, whole):
    fill_at(warm, small_command, tmp_path, whole, range)


def test_files_beyond_the_limit_of_a_process_are_refused_in_one_line(warm, small_command, tmp_path, whole):
    limit = "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (2000, 2000))"
    out = tmp_path / "out"
    (ended,) = warm.together([small_command], out, before=[limit])
    check_refused(ended, out, "File too large")
    assert warm(small_command, out).code == 0
    assert table(out) == whole[0]


def test_a_folder_that_may_only_be_read_is_refused_before_the_work(warm, small_command, tmp_path, whole):
    out = tmp_path / "out"
    read_only = dict.fromkeys(CHANGES, errno.EROFS)
    assert warm(small_command, out).code == 0
    before = {path: path.stat().st_mtime_ns for path in out.rglob("*")}
    ended = warm(small_command, out, refused=read_only)
    check_refused(ended, out, f"cannot write to --out '{out}': Read-only file system")
    (out / "cache" / "leaderboard.json").unlink()
    before.pop(out / "cache" / "leaderboard.json")
    before[out / "cache"] = (out / "cache").stat().st_mtime_ns
    shown = warm(("leaderboard", str(out)), tmp_path / "table.csv", refused=read_only, folder=out)
    assert (shown.code, (tmp_path / "table.csv").read_bytes()) == (0, whole[0])
    assert {path: path.stat().st_mtime_ns for path in out.rglob("*")} == before


@pytest.mark.slow
def test_a_small_disk_that_fills_up(warm, small_command, tmp_path, whole):
    if os.geteuid() != 0:
        pytest.skip("only root may mount a disk of a few pages")
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=40k", "tmpfs", str(disk)], check=False)
    if mounted.returncode != 0:
        pytest.skip("no disk can be mounted here")
    try:
        out = disk / "out"
        check_refused(warm(small_command, out), out, "No space left on device")
        subprocess.run(["mount", "-o", "remount,size=10m", str(disk)], check=True)
        assert warm(small_command, out).code == 0
        assert table(out) == whole[0]
    finally:
        subprocess.run(["umount", str(disk)], check=True)


# Notes each shard and each piece of a pool that a process writes, in a file beside the folder of results.
TOLD = """
    import os, sys
    def told(event, arguments):
        if event == "os.rename" and ("/units/" in str(arguments[1]) or "/pools/" in str(arguments[1])):
            with open({log!r}, "a") as log:
                log.write(str(arguments[1]) + "\\n")
    sys.addaudithook(told)
"""
# Another container on a machine with the same process id; or one that cannot even be told apart.
CONTAINER = """
    import os, socket
    os.getpid = lambda: 7
    socket.gethostname = lambda: {name!r}
    from bcos_eval.store import process
    process._machine.cache_clear()
"""


def check_shared(warm, command, folder, expected, worlds):
    out, log = folder / "out", folder / "log"
    told = TOLD.format(log=str(log))
    runs = warm.together([command] * len(worlds), out, before=[told + world for world in worlds])
    assert [run.code for run in runs] == [0] * len(worlds), [run.stderr for run in runs]
    assert table(out) == expected
    written = [Path(line) for line in log.read_text().splitlines()]
    assert sorted(written) == sorted(set(written))  # nothing was computed twice
    assert len(json.loads((out / "manifest.json").read_text())["runs"]) == len(worlds)
    assert [*file_findings(out), *completeness_findings(out)] == []
    assert list((out / "claims").iterdir()) == []


def test_four_runs_in_one_folder_share_the_work_and_lose_nothing(warm, small_command, tmp_path, whole):
    check_shared(warm, small_command, tmp_path, whole[0], [""] * 4)


@pytest.mark.parametrize("names", ["abc", "aaa"], ids=["names of their own", "one name"])
def test_three_containers_with_equal_process_ids_do_not_disturb_each_other(
    warm, small_command, tmp_path, whole, names
):
    worlds = [CONTAINER.format(name=name) for name in names]
    check_shared(warm, small_command, tmp_path, whole[0], worlds)
