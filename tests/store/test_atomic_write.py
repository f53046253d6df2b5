from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from bcos_eval.errors import InputError
from bcos_eval.store import atomic_write
from bcos_eval.store.atomic_write import atomic_path, remove_leftovers, require_writable, write_text


def test_a_file_appears_only_when_the_block_is_done(tmp_path):
    path = tmp_path / "new" / "file.txt"
    with atomic_path(path) as temporary:
        temporary.write_text("whole")
        assert not path.exists()
    assert path.read_text() == "whole"
    assert list(path.parent.iterdir()) == [path]


def test_an_interruption_keeps_the_old_file_and_no_temporary_one(tmp_path):
    path = tmp_path / "file.txt"
    write_text(path, "old")

    def interrupted():
        with atomic_path(path) as temporary:
            temporary.write_text("half")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_writable_folder_is_made_and_left_empty(tmp_path):
    require_writable(tmp_path / "a" / "b")
    assert list((tmp_path / "a" / "b").iterdir()) == []


def test_a_file_in_the_way_is_an_error(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(InputError) as caught:
        require_writable(tmp_path / "file")
    assert str(caught.value) == (
        f"cannot write to --out '{tmp_path}/file': File exists; give a folder that you may write to."
    )


def test_temporary_names_are_unique_and_short_whatever_the_name(tmp_path):
    name = "x" * 255
    with atomic_path(tmp_path / name) as first, atomic_path(tmp_path / name) as second:
        first.write_text("first")
        second.write_text("second")
        assert first != second
    assert (tmp_path / name).read_text() == "first"


def test_a_folder_in_the_place_of_a_file_is_named(tmp_path):
    (tmp_path / "file" / "x").mkdir(parents=True)
    with pytest.raises(InputError) as caught:
        write_text(tmp_path / "file", "text")
    assert str(caught.value) == (
        f"cannot write '{tmp_path}/file': Is a directory; make room for it there, or give another folder."
    )
    assert list(tmp_path.iterdir()) == [tmp_path / "file"]


def temporary_name_of_a_dead_process():
    program = "from bcos_eval.store.atomic_write import _temporary_name; print(_temporary_name())"
    return subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    ).stdout.strip()


def test_files_of_dead_processes_are_removed_and_those_of_the_living_are_not(tmp_path):
    dead = tmp_path / "units" / "cell" / temporary_name_of_a_dead_process()
    alive, elsewhere, stale = (
        tmp_path / name for name in (atomic_write._temporary_name(), ".0123456789ab-1-x.tmp", ".run.17.tmp")
    )
    dead.parent.mkdir(parents=True)
    for path in (dead, alive, elsewhere, stale, tmp_path / "own.tmp"):
        path.touch()
    os.utime(stale, (0, 0))
    assert sorted(remove_leftovers(tmp_path)) == sorted([dead, stale])
    assert alive.exists()
    assert elsewhere.exists()
    assert (tmp_path / "own.tmp").exists()


def test_a_url_is_no_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError) as caught:
        require_writable(Path("s3://bucket/results"))
    assert str(caught.value) == (
        "--out 's3:/bucket/results' is a URL and results go to a folder; mount it, or copy the folder later."
    )
    assert list(tmp_path.iterdir()) == []
