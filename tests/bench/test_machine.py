from __future__ import annotations

import sys

import pytest
import torch

from bcos_eval.bench import machine as module
from bcos_eval.bench.clock import threads, timed
from bcos_eval.bench.machine import installed_version, machine, peak_growth


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="the peak is read from /proc")
def test_memory_that_is_freed_again_counts_towards_the_peak():
    def work():
        torch.ones(2**25)  # 128 MiB, gone at once
        return "result"

    growth, result = peak_growth(work)
    assert result == "result"
    assert growth == pytest.approx(2**27, rel=0.1)


def test_where_the_system_does_not_tell_the_work_is_done_all_the_same(monkeypatch, tmp_path):
    monkeypatch.setattr(module, "_PROCESS", tmp_path / "missing")
    assert peak_growth(lambda: 7) == (None, 7)


def test_the_machine_is_named():
    found = machine()
    assert found["processor"]
    assert found["threads"] == torch.get_num_threads()
    assert found["versions"]["torch"] == torch.__version__.partition("+")[0]


def test_a_package_that_is_not_installed_has_no_version():
    assert installed_version("no-such-package-of-that-name") is None


def test_threads_are_as_before_after_an_error():
    before = torch.get_num_threads()
    with pytest.raises(ZeroDivisionError), threads(before + 1):
        torch.get_num_threads() / (torch.get_num_threads() - before - 1)
    assert torch.get_num_threads() == before


def test_time_is_measured_with_the_result():
    seconds, result = timed(lambda: sum(range(10_000)))
    assert result == 49_995_000
    assert 0 < seconds < 1
