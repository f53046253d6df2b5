"""A user's code cannot spoil the suite's own scores."""

from __future__ import annotations

import pandas as pd
import pytest
import torch

from bcos_eval.reports.tables.leaderboard import stored_units
from bcos_eval.user_code.plugins import given_explainers, given_metrics


def of_suite(result):
    units = stored_units(result.shards).drop(columns=["seconds"])
    return units[(units["method"] == "ixg") & (units["metric"] != "own")].reset_index(drop=True)


def hooking(model, images, targets):
    model.register_forward_hook(lambda *_: torch.zeros(1, 6))
    return images.sum(1, keepdim=True)


def overriding(model, images, targets):
    model.forward = lambda encoded: torch.zeros(len(encoded), 6)
    return images.sum(1, keepdim=True)


def training(model, images, targets):
    for module in model.modules():
        module.training = True
    model.weight.requires_grad_(False)
    return images.sum(1, keepdim=True)


def writing(model, images, targets):
    model.weight.data.mul_(-1)
    images.zero_()
    return images.sum(1, keepdim=True)


def replacing(model, images, targets):
    model.weight = torch.nn.Parameter(-model.weight)
    return images.sum(1, keepdim=True)


@pytest.mark.parametrize("method", [hooking, overriding, training, writing, replacing])
def test_what_a_method_leaves_behind_is_put_back_and_noted(toy_run, tmp_path, method):
    asked = {"metrics": ("energy_pg", "pixel_perturbation")}
    expected = of_suite(toy_run(root=tmp_path / "alone", methods=("ixg",), **asked))
    result = toy_run(methods=(*given_explainers(method), "ixg"), **asked)
    pd.testing.assert_frame_equal(of_suite(result), expected, check_exact=True)
    noted = [
        note for note in result.notes if note.startswith(f"method '{method.__name__}' left the network changed")
    ]
    assert bool(noted) == (method is not training)


def test_a_metric_that_changes_what_it_is_given_changes_no_other_score(toy_run, tmp_path):
    def own(maps, images, targets, regions, predict):
        predict.network.weight.data.zero_()
        for tensor in (maps, images, targets, regions):
            tensor.zero_()
        return maps.double().mean((2, 3))

    asked = {"methods": ("ixg",)}
    metrics = ("energy_pg", "pixel_perturbation")
    expected = of_suite(toy_run(root=tmp_path / "alone", metrics=metrics, **asked))
    result = toy_run(metrics=(*given_metrics(own), *metrics), **asked)
    pd.testing.assert_frame_equal(of_suite(result), expected, check_exact=True)
    assert any(note.startswith("metric 'own/own' left the network changed (weights)") for note in result.notes)
