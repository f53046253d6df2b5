from __future__ import annotations

import os
import subprocess
import sys

import pytest

from bcos_eval.errors import InputError
from bcos_eval.store import claims as claims_module
from bcos_eval.store.claims import Claims
from bcos_eval.store.process import this_process

ONE, TWO = "one", "two"


def test_a_claimed_shard_is_not_given_twice(tmp_path):
    with Claims(tmp_path).held([ONE]) as first, Claims(tmp_path).held([ONE, TWO]) as second:
        assert (first, second) == ({ONE}, {TWO})


def test_claims_end_with_the_block_whatever_happens(tmp_path):
    with pytest.raises(KeyboardInterrupt), Claims(tmp_path).held([ONE]):
        raise KeyboardInterrupt
    assert list((tmp_path / "claims").iterdir()) == []


@pytest.fixture(scope="module")
def ended():
    """The name of a process that has ended."""
    name = "from bcos_eval.store.process import this_process; print(this_process(), end='')"
    return subprocess.run([sys.executable, "-c", name], capture_output=True, text=True, check=True).stdout


def test_claims_of_processes_that_ended_are_removed_and_no_others(tmp_path, ended):
    (tmp_path / "claims").mkdir()
    names = {"one": ended, "two": this_process(), "three": "other-1", "four": "other-1", "five": ""}
    for name, process in names.items():
        (tmp_path / "claims" / name).write_text(process)
    os.utime(tmp_path / "claims" / "four", (1, 1))
    Claims(tmp_path).remove_ended()
    assert {path.name for path in (tmp_path / "claims").iterdir()} == {"two", "three", "five"}


def test_the_claim_of_a_process_that_ended_is_void(tmp_path, ended):
    (tmp_path / "claims").mkdir()
    (tmp_path / "claims" / "one").write_text(ended)
    with Claims(tmp_path).held([ONE]) as mine:
        assert mine == {ONE}
        assert (tmp_path / "claims" / "one").read_text() == this_process()


def test_a_claim_of_another_machine_is_void_when_it_is_not_touched(tmp_path, monkeypatch):
    (tmp_path / "claims").mkdir()
    path = tmp_path / "claims" / "one"
    path.write_text("other-1")
    now = [1000.0]
    monkeypatch.setattr(claims_module.time, "monotonic", lambda: now[0])
    claims = Claims(tmp_path)

    def is_free():
        with claims.held([ONE]) as mine:
            return mine == {ONE}

    assert not is_free()
    now[0] += 170
    os.utime(path, (1, 1))
    assert not is_free()
    now[0] += 170
    assert not is_free()
    now[0] += 20
    assert is_free()


def test_a_claim_without_a_name_is_void_after_a_moment(tmp_path, monkeypatch):
    (tmp_path / "claims").mkdir()
    (tmp_path / "claims" / "one").touch()  # its process was killed between two operations
    now = [1000.0]
    monkeypatch.setattr(claims_module.time, "monotonic", lambda: now[0])
    claims = Claims(tmp_path)
    with claims.held([ONE]) as mine:
        assert mine == set()
    now[0] += 6
    with claims.held([ONE]) as mine:
        assert mine == {ONE}


def test_a_claim_that_cannot_be_written_is_refused(tmp_path):
    (tmp_path / "claims").touch()
    with pytest.raises(InputError) as caught, Claims(tmp_path).held([ONE]):
        pass
    assert str(caught.value) == (
        f"cannot write '{tmp_path}/claims/one': File exists; make room for it there, or give another folder."
    )
