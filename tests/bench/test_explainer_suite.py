from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch

from bcos_eval.bench import explainer_suite
from bcos_eval.bench.contenders import CONTENDERS, tile_side
from bcos_eval.bench.explainer_suite import (
    N_SIDES,
    Scene,
    check_explainers,
    measure_explainer,
    network_for,
    relative_difference,
)
from bcos_eval.errors import InputError


@pytest.mark.parametrize("name", CONTENDERS)
def test_both_sides_of_every_explainer_give_the_same_maps_and_take_time(name, scene, effort):
    row = measure_explainer(name, scene, effort)
    assert row.note == ""
    assert row.n_measured == row.n_targets == 3
    # float32, other orders of summation; the issue demands 1e-5.
    assert row.max_difference <= 1e-5
    for seconds in (row.times.alternative, row.times.ours, row.times.bare):
        assert len(seconds) == 1
        assert all(math.isfinite(value) and value > 0 for value in seconds)
    assert row.times.ratio > 0
    assert row.times.bare_share > 0


@pytest.mark.parametrize("name", ["lime", "rise", "intgrad", "deeplift"])
def test_an_extrapolated_alternative_runs_on_one_target_and_counts_for_all(name, scene, effort):
    row = measure_explainer(name, scene, replace(effort, extrapolate=True))
    assert (row.n_measured, row.n_targets) == (1, 3)
    assert row.max_difference <= 1e-5


def test_quick_alternatives_are_never_extrapolated(scene, effort):
    assert measure_explainer("ixg", scene, replace(effort, extrapolate=True)).n_measured == 3


def test_one_target_at_a_time_takes_a_forward_pass_per_target_and_ours_one(scene, effort, networks):
    seen = []
    handle = networks[1].register_forward_hook(lambda _module, args, _output: seen.append(len(args[0])))
    measure_explainer("ixg", scene, effort)
    handle.remove()
    alternative, ours, bare = 3, 1, 1
    assert len(seen) == alternative + ours + bare  # hooks keep the network from being replaced by its twin


@pytest.mark.parametrize("name", ["bcos", "gb", "lime"])
def test_progress_is_told_of_every_side_of_every_repetition(name, scene, effort):
    told = []
    measure_explainer(name, scene, replace(effort, repeats=2), told.append)
    assert sum(told) == 2 * N_SIDES


def test_bcos_takes_the_bcos_network_and_the_others_the_standard_one(networks):
    assert network_for("bcos", networks).name == "bcos_resnet18"
    assert network_for("ixg", networks).name == "resnet18"
    assert network_for("ixg", networks[:1]).name == "bcos_resnet18"


def test_an_explainer_that_the_networks_do_not_allow_leaves_a_note(scene, effort, networks):
    told = []
    row = measure_explainer("gb", replace(scene, networks=networks[:1]), effort, told.append)
    assert row.note == (
        "method 'gb' changes how gradients pass ReLUs and 'bcos_resnet18' has none; use grad or ixg"
    )
    assert row.times.ours == ()
    assert sum(told) == N_SIDES


def test_a_missing_package_leaves_a_note(scene, effort, monkeypatch):
    monkeypatch.setattr(explainer_suite, "installed_version", lambda _package: None)
    assert measure_explainer("lime", scene, effort).note == "not installed: pip install scikit-learn"


def test_a_bcos_network_that_the_official_library_lacks_is_compared_with_our_own_plain_passes(scene, effort):
    # The small variant has other widths than any official network.
    assert measure_explainer("bcos", scene, effort).alternative == "own explanation mode"


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # the official code's own
def test_an_official_network_is_compared_with_the_official_code(image, effort):
    pytest.importorskip("bcos")
    from bcos_eval.bench.case import network_for_bench

    network = network_for_bench("bcos_resnet18", "random", 32)
    row = measure_explainer("bcos", Scene([network], image, torch.tensor([[3, 70]]), 0), effort)
    assert row.alternative == "official bcos library"
    assert row.max_difference <= 1e-5


def test_difference_is_relative_to_the_largest_value_of_each_map():
    theirs = torch.tensor([[[4.0, -8.0]], [[0.5, 0.0]], [[0.0, 0.0]]])
    ours = theirs + torch.tensor([[[0.0, 0.8]], [[0.1, 0.0]], [[0.0, 0.05]]])
    assert relative_difference(ours, theirs) == pytest.approx(0.2)


@pytest.mark.parametrize(("side", "n_tiles", "expected"), [(672, 32, 168), (128, 6, 64), (7, 30, 7), (10, 4, 5)])
def test_tiles_fill_the_image_and_are_not_too_many(side, n_tiles, expected):
    assert tile_side(side, n_tiles) == expected
    assert side % expected == 0


def test_an_explainer_without_alternative_is_refused():
    known = "bcos, ixg, grad, gb, intgrad, smoothgrad, deeplift, gradcam, lime, kernelshap, occlusion, rise"
    with pytest.raises(
        InputError,
        match=rf"^method 'random' has no alternative to be measured against; there is one for: {known}\.$",
    ):
        check_explainers(["ixg", "random"])
