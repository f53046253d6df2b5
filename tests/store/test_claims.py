from __future__ import annotations

import os
import subprocess
import sys

import pytest

from bcos_eval.store import claims as claims_module
from bcos_eval.store.claims import Claims
from bcos_eval.store.facts import ShardAddress
from bcos_eval.store.process import this_process

ONE, TWO = ShardAddress("cell", "one"), ShardAddress("cell", "two")


def test_a_claimed_shard_is_not_given_twice(tmp_path):
    with Claims(tmp_path).held([ONE]) as first, Claims(tmp_path).held([ONE, TWO]) as second:
        assert (first, second) == ({ONE}, {TWO})


def test_claims_end_with_the_block_whatever_happens(tmp_path):
    with pytest.raises(KeyboardInterrupt), Claims(tmp_path).held([ONE]):
        raise KeyboardInterrupt
    assert list((tmp_path / "claims").iterdir()) == []


def test_the_claim_of_a_process_that_ended_is_void(tmp_path):
    (tmp_path / "claims").mkdir()
    name = "from bcos_eval.store.process import this_process; print(this_process(), end='')"
    ended = subprocess.run([sys.executable, "-c", name], capture_output=True, text=True, check=True).stdout
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
