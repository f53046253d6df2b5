from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch

from bcos_eval.bench import perturbation_suite
from bcos_eval.bench.bare import images_in_passes
from bcos_eval.bench.perturbation_suite import deletion_task, measure_deletion, peak_bytes


@pytest.fixture(scope="module")
def task(networks):
    return deletion_task(networks[1], side=25, n_images=2, seed=0)


def test_the_side_has_whole_pixels_in_each_of_fifty_steps(task):
    assert task.images.shape == (2, 3, 20, 20)
    assert torch.equal(task.ranks.flatten(1).sort().values, torch.arange(400).expand(2, -1))


def test_quantus_and_the_published_loop_give_our_curve(task):
    pytest.importorskip("quantus")
    told = []
    rows = measure_deletion(task, repeats=1, advance=told.append)
    assert [(row.alternative, row.n_points) for row in rows] == [
        ("Quantus PixelFlipping", 50),
        ("RISE's loop", 51),
    ]
    assert sum(told) == 1
    for row in rows:
        assert row.max_difference <= 1e-5
        for seconds in (row.times.alternative, row.times.ours, row.times.bare):
            assert len(seconds) == 1
            assert all(math.isfinite(value) and value > 0 for value in seconds)


def test_no_repetition_is_answered_from_memory(task):
    passes = [images_in_passes(task.network, task.ours) for _ in range(2)]
    assert passes[0] == passes[1]
    # Both curves end in the same black picture, which may be passed once.
    assert sum(passes[0]) in (2 * 51, 2 * 51 - 1)


def test_our_curve_runs_from_the_image_to_black(task):
    network, curves = task.network, task.ours()
    for picture, column in ((task.images, 0), (torch.zeros_like(task.images), -1)):
        with torch.no_grad():
            probabilities = network.probability(network(network.encode(picture)))
        expected = probabilities.gather(1, task.targets[:, None])[:, 0].double()
        torch.testing.assert_close(curves[:, column], expected, rtol=1e-5, atol=1e-7)


def test_a_missing_package_leaves_a_note(task, monkeypatch):
    monkeypatch.setattr(perturbation_suite, "installed_version", lambda _package: None)
    one = replace(task, images=task.images[:1], targets=task.targets[:1], ranks=task.ranks[:1])
    rows = measure_deletion(one, repeats=1)
    assert [row.note for row in rows] == ["not installed: pip install quantus", ""]
    assert rows[0].times.ours == ()


def test_memory_is_told_for_a_curve_of_each_length(task):
    peaks = peak_bytes(task)
    # 400 pixels, 224 a step: 3 points; nothing where the system does not tell.
    assert set(peaks) in ({51, 3}, set())
    assert all(growth >= 0 for growth in peaks.values())
