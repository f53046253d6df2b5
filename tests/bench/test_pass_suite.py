from __future__ import annotations

import math

import pytest
import torch

from bcos_eval.bench import pass_suite
from bcos_eval.bench.bench_table import bench_text
from bcos_eval.bench.machine import machine
from bcos_eval.bench.pass_suite import Stimuli, measure_passes
from bcos_eval.bench.report import BenchReport
from bcos_eval.engine import batch, scoring

CPU = torch.device("cpu")


@pytest.mark.parametrize("name", ["bcos", "gradcam", "ixg"])
def test_stimuli_are_measured_alone_and_together(name, networks, monkeypatch):
    for module in (pass_suite, scoring):
        monkeypatch.setattr(module, "explains_together", lambda _device: True)
    monkeypatch.setattr(batch, "_LARGEST_BATCH", 3)
    told = []
    row = measure_passes(name, networks, Stimuli(2, 32, 3, 2, seed=0), 2, CPU, told.append)
    assert (row.stimuli, row.n_targets) == ("2×2 grids of 64×64", 3)
    assert row.n_stimuli == row.per_pass == 3
    assert len(row.alone_seconds) == len(row.together_seconds) == 2
    assert 0 <= row.max_difference <= 1e-4
    assert sum(told) == 4


def test_on_the_cpu_stimuli_are_explained_alone(networks):
    row = measure_passes("bcos", networks, Stimuli(1, 33, 1, 2, seed=0), 1, CPU)
    assert (row.stimuli, row.n_stimuli, row.per_pass) == ("images of 33×33", 2, 1)
    assert row.max_difference == 0
    assert "images of 33×33" in bench_text(BenchReport(machine(), {}, passes=(row,)))


def test_an_explainer_that_the_network_does_not_allow_leaves_a_note(networks):
    row = measure_passes("gb", networks[:1], Stimuli(1, 32, 1, 2, seed=0), 1, CPU)
    assert row.note.startswith("method 'gb' changes how gradients pass ReLUs")
    assert math.isnan(row.max_difference)
    assert row.as_json()["stimuli_per_second"] is None
