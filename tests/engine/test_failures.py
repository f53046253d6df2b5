"""Code that raises on one image costs one unit."""

from __future__ import annotations

import signal
import sys
import threading
import time
from contextlib import suppress

import pytest
import torch

from bcos_eval.engine.failures import LOG_NAME, Failure, Failures
from bcos_eval.engine.progress import Progress
from bcos_eval.errors import InputError, UnitFailedError
from bcos_eval.reports.tables.leaderboard import stored_units
from bcos_eval.user_code.plugins import given_explainers, given_metrics

# A target of the toy data that code below raises on.
BAD = 3
REASON = r"KeyError: 'no such thing' \(test_failures\.py line \d+\)"


def raising(model, images, targets):
    """Input times gradient, but for the bad class."""
    if BAD in targets:
        raise KeyError("no such thing")
    images = images.clone().requires_grad_(True)
    logits = model(model.encode(images)).gather(1, targets)
    return (images * torch.autograd.grad(logits.sum(), images)[0]).sum(1, keepdim=True)


def leaving(maps, targets):
    """A metric that ends the process on the bad class."""
    if BAD in targets:
        sys.exit(0)
    return maps.double().mean((2, 3))


def refused(maps, targets):
    """A metric with a wrong shape on the bad class."""
    return maps.double().mean() if BAD in targets else maps.double().mean((2, 3))


def by_target(result, metric):
    units = stored_units(result.shards)
    return units[units["metric"] == metric].set_index("target")


def test_a_method_that_raises_on_a_class_costs_its_units_of_every_metric(toy_run):
    result = toy_run(methods=tuple(given_explainers(raising)), metrics=("energy_pg", "pointing_game"))
    for metric in ("energy_pg", "pointing_game"):
        units = by_target(result, metric)
        assert set(units.loc[[BAD], "status"]) == {"failed"}
        assert units.loc[[BAD], "score"].isna().all()
        assert units.loc[[BAD], "reason"].str.fullmatch(REASON).all()
        others = units.drop(BAD)
        assert set(others["status"]) == {"ok"}
        assert others["reason"].isna().all()
        assert others["score"].notna().all()
    assert result.n_failed == 4
    told = [
        note for note in result.notes if note.startswith("bcos_toy × raising × energy_pg/default: 2 units failed")
    ]
    assert len(told) == 1
    log = (toy_run.root / LOG_NAME).read_text()
    assert log.startswith("method 'raising' on single/image_3.png\nTraceback (most recent call last):\n")


def test_the_other_units_have_the_scores_of_a_run_without_failure(toy_run, tmp_path):
    def sound(model, images, targets):
        return raising(model, images, targets) if BAD not in targets else torch.zeros(1, 1, *images.shape[-2:])

    asked = {"metrics": ("energy_pg", "pixel_perturbation")}
    failing = toy_run(methods=tuple(given_explainers({"own": raising})), **asked)
    whole = toy_run(methods=tuple(given_explainers({"own": sound})), root=tmp_path / "whole", **asked)
    for metric in asked["metrics"]:
        expected = by_target(whole, metric).drop(BAD)["score"].tolist()
        assert by_target(failing, metric).drop(BAD)["score"].tolist() == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize(
    ("metric", "reason"),
    [
        (leaving, r"SystemExit: 0 \(test_failures\.py line \d+\)"),
        (
            refused,
            r"InputError: metric 'refused' gave \(\); give a tensor \(B, K\), \(1, 1\)\. \(metric\.py line \d+\)",
        ),
    ],
)
def test_a_metric_that_raises_costs_its_own_units_only(toy_run, metric, reason):
    result = toy_run(metrics=("energy_pg", *given_metrics(metric)))
    units = by_target(result, metric.__name__)
    assert set(units.loc[[BAD], "status"]) == {"failed"}
    assert units.loc[[BAD], "reason"].str.fullmatch(reason).all()
    assert set(units.drop(BAD)["status"]) == {"ok"}
    assert set(by_target(result, "energy_pg")["status"]) == {"ok"}


def test_a_refusal_on_the_first_stimulus_refuses_the_run(toy_run):
    with pytest.raises(InputError, match=r"^metric 'wrong' gave \(\); give a tensor \(B, K\), \("):
        toy_run(metrics=tuple(given_metrics({"wrong": lambda maps: maps.mean()})))


def test_a_network_that_raises_on_an_image_costs_that_image(toy_run, monkeypatch):
    network = toy_run.networks["bcos_toy"]
    bad = toy_run.dataset[BAD].image
    features = type(network).features

    def raising_features(self, encoded):
        if any(torch.equal(image, bad) for image in encoded[:, :3]):
            raise ZeroDivisionError("the bad image")
        return features(self, encoded)

    monkeypatch.setattr(type(network), "features", raising_features)
    result = toy_run(metrics=("energy_pg", "grid_pg"))
    units = by_target(result, "energy_pg").reset_index().set_index("sample_id")
    assert units.loc["image_3.png", "status"] == "failed"
    assert set(units.drop("image_3.png")["status"]) == {"ok"}
    assert "image_3.png" not in set(by_target(result, "grid_pg")["sample_id"])
    told = "skipped an image: 'image_3.png': model 'bcos_toy' failed: ZeroDivisionError: the bad image"
    assert any(note.startswith(told) for note in result.notes)


def test_a_sample_that_cannot_be_made_for_another_reason_than_its_pixels_has_failed(toy_run, monkeypatch):
    dataset = toy_run.dataset
    read = type(dataset).__getitem__

    def without_boxes(self, index):
        if index == 1:
            raise InputError("'boxes.csv' line 3: xmax is 'inf'; give numbers.")
        return read(self, index)

    monkeypatch.setattr(type(dataset), "__getitem__", without_boxes)
    result = toy_run(metrics=("energy_pg", "grid_pg"))
    units = by_target(result, "energy_pg").reset_index().set_index("sample_id")
    assert units.loc["image_1.png", "status"] == "failed"
    assert units.loc["image_1.png", "reason"].startswith(
        "InputError: 'boxes.csv' line 3: xmax is 'inf'; give numbers."
    )
    assert result.n_failed == 1


def test_failed_units_stay_until_they_are_to_be_tried_again(toy_run):
    broken = {"value": True}

    def flaky(model, images, targets):
        if broken["value"]:
            return raising(model, images, targets)
        return torch.ones(*targets.shape, *images.shape[-2:])

    asked = {"methods": tuple(given_explainers(flaky)), "metrics": ("energy_pg",)}
    assert toy_run(**asked).n_failed == 2
    broken["value"] = False
    again = toy_run(**asked)
    assert (again.n_computed, again.n_failed) == (0, 2)
    retried = toy_run(**asked, retry_failed=True)
    assert (retried.n_computed, retried.n_failed) == (1, 0)
    assert toy_run(**asked, retry_failed=True).n_computed == 0


def test_the_first_failure_ends_a_run_that_asks_for_it(toy_run):
    with pytest.raises(UnitFailedError) as caught:
        toy_run(methods=tuple(given_explainers(raising)), metrics=("energy_pg",), fail_fast=True)
    message = str(caught.value)
    assert message.startswith("method 'raising' failed on single/image_3.png: KeyError: 'no such thing' (")
    assert message.endswith(f"); the traceback is in '{toy_run.root / LOG_NAME}'.")


def test_an_interruption_is_no_failure(toy_run):
    def interrupted(model, images, targets):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        toy_run(methods=tuple(given_explainers(interrupted)))


def test_an_exhausted_memory_is_left_to_smaller_batches(tmp_path):
    def full(_places):
        raise MemoryError

    with pytest.raises(MemoryError):
        Failures(tmp_path, Progress(quiet=True)).each(full, ["a", "b"], what="method 'm'")


def test_units_are_tried_alone_where_the_batch_raises(tmp_path):
    def inverses(places):
        return [1 / place for place in places]

    found = Failures(tmp_path, Progress(quiet=True)).each(inverses, ["a", "b", "c"], what="method 'm'")
    assert isinstance(found[0], Failure)
    assert found[1:] == [1.0, 0.5]


def slow(model, images, targets):
    """Input times gradient, but for the bad class, for which it takes for ever, and catches what it can."""
    end = time.monotonic() + 60
    while BAD in targets and time.monotonic() < end:
        with suppress(Exception):
            time.sleep(0.01)
    return images.sum(1, keepdim=True)


def test_a_unit_that_takes_too_long_fails(toy_run):
    started = time.monotonic()
    result = toy_run(methods=tuple(given_explainers(slow)), metrics=("energy_pg",), unit_timeout=0.3)
    assert time.monotonic() - started < 30
    units = by_target(result, "energy_pg")
    assert set(units.loc[[BAD], "reason"]) == {"it took longer than 0.3 s"}
    assert set(units.drop(BAD)["status"]) == {"ok"}
    assert signal.getitimer(signal.ITIMER_REAL) == (0.0, 0.0)


def test_a_time_limit_changes_no_score(toy_run, tmp_path):
    asked = {"methods": ("ixg", "intgrad"), "metrics": ("energy_pg", "grid_pg", "pixel_deletion")}
    limited, free = toy_run(root=tmp_path / "limited", unit_timeout=60.0, **asked), toy_run(**asked)
    assert stored_units(limited.shards)["score"].tolist() == stored_units(free.shards)["score"].tolist()


def test_a_time_limit_outside_the_main_thread_is_refused(toy_run):
    refused = []

    def start():
        try:
            toy_run(unit_timeout=1.0)
        except InputError as error:
            refused.append(str(error))

    thread = threading.Thread(target=start)
    thread.start()
    thread.join()
    assert refused == [
        "--unit-timeout needs the alarms of Linux or macOS, in the main thread of a program; leave it out."
    ]
