from __future__ import annotations

import contextlib
import tempfile
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bcos_eval.stimuli import pool as pool_module
from bcos_eval.stimuli.pool import GrowingPool, groups_of
from bcos_eval.store.claims import Claims

CPU = torch.device("cpu")


def growing(network, dataset, folder, **given):
    return GrowingPool(network, dataset, folder, device=CPU, claims=Claims(folder), **given)


def load(network, dataset, folder):
    return growing(network, dataset, folder).look()


def test_the_pool_equals_a_loop_over_single_images(toy_network, toy_dataset, tmp_path):
    network, dataset = toy_network(), toy_dataset()
    pool = load(network, dataset, tmp_path)
    for index in range(len(dataset)):
        logits = network(network.encode(dataset[index].image[None]))[0]
        assert pool.max_logits[index].item() == pytest.approx(logits.max().item(), abs=1e-6)
        assert pool.predicted[index].item() == logits.argmax().item()
        assert pool.correct[index].item() == (logits.argmax().item() == dataset.labels[index])
        expected = network.probability(logits)[dataset.labels[index]].item()
        assert pool.label_probability[index].item() == pytest.approx(expected, abs=1e-6)


def test_unreadable_images_are_in_no_pool_and_keep_their_reason(toy_network, toy_dataset, tmp_path):
    dataset = toy_dataset(unreadable=(0, 7))
    for _ in range(2):  # computed, then read back
        pool = load(toy_network(), dataset, tmp_path)
        assert not pool.correct[[0, 7]].any()
        assert pool.max_logits[0].item() == -np.inf
        assert pool.unreadable == {
            "image_0.png": "'image_0.png' is damaged; replace it.",
            "image_7.png": "'image_7.png' is damaged; replace it.",
        }


@given(labels=st.lists(st.integers(0, 40), max_size=300))
def test_groups_hold_every_image_once_and_are_no_larger_than_a_batch(labels):
    groups = groups_of(labels)
    assert sorted(index for group in groups for index in group) == list(range(len(labels)))
    assert all(0 < len(group) <= 32 for group in groups)


@pytest.mark.parametrize(("n_classes", "n_per_class"), [(1000, 50), (20, 100), (2, 500), (1, 90)])
def test_neither_one_image_of_each_class_nor_one_class_takes_many_groups(n_classes, n_per_class):
    labels = [label for label in range(n_classes) for _ in range(n_per_class)]
    groups = groups_of(labels)
    group_of = {index: number for number, group in enumerate(groups) for index in group}
    first_of_each = {group_of[label * n_per_class] for label in range(n_classes)}
    whole_class = {group_of[index] for index in range(n_per_class)}
    assert len(first_of_each) <= -(-n_classes // 6)
    assert len(whole_class) <= -(-n_per_class // 4)


@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(asked=st.lists(st.lists(st.integers(0, 35), max_size=5), max_size=6))
def test_what_a_model_says_does_not_depend_on_who_asked_before(toy_network, toy_dataset, whole_pool, asked):
    with tempfile.TemporaryDirectory() as folder:
        pool = growing(toy_network(), toy_dataset(), Path(folder))
        for indices in asked:
            found = pool.look(indices)
            assert pool.seen[indices].all()
            assert torch.equal(found.max_logits[indices], whole_pool.max_logits[indices])
        assert torch.equal(found.correct, whole_pool.correct & pool.seen) if asked else not pool.seen.any()
        assert torch.equal(pool.look().max_logits, whole_pool.max_logits)


@pytest.fixture(scope="module")
def whole_pool(toy_network, toy_dataset, tmp_path_factory):
    return load(toy_network(), toy_dataset(), tmp_path_factory.mktemp("whole"))


def test_a_stored_pool_is_not_computed_again(toy_network, toy_dataset, tmp_path, monkeypatch):
    first = load(toy_network(), toy_dataset(), tmp_path)
    monkeypatch.setattr(pool_module, "_compute_piece", lambda *_: pytest.fail("computed"))
    second = load(toy_network(), toy_dataset(), tmp_path)
    assert torch.equal(first.max_logits, second.max_logits)


def test_only_images_that_are_asked_for_and_their_groups_are_read(toy_network, toy_dataset, tmp_path):
    dataset, shown = toy_dataset(n_per_class=20), []

    @contextlib.contextmanager
    def show(n_images):
        done = []
        yield done.append
        shown.append((n_images, sum(done)))

    pool = growing(toy_network(), dataset, tmp_path, show=show)
    pool.look([0, 1])
    pool.look([0])
    assert shown == [(30, 30)]  # five turns of six classes
    assert pool.seen.nonzero()[:, 0].tolist() == list(range(30))
    pool.look()
    assert shown == [(30, 30), (90, 90)]


def test_an_interrupted_pass_resumes_with_the_groups_that_are_missing(
    toy_network, toy_dataset, tmp_path, monkeypatch
):
    dataset = toy_dataset(n_per_class=20)
    whole = load(toy_network(), dataset, tmp_path)
    pieces = sorted(tmp_path.rglob("*.npz"))
    assert len(pieces) == 4
    pieces[1].write_bytes(pieces[1].read_bytes()[:50])
    pieces[3].unlink()
    computed = []
    original = pool_module._compute_piece
    monkeypatch.setattr(
        pool_module, "_compute_piece", lambda *given: (computed.append(given[2]), original(*given))[1]
    )
    resumed = load(toy_network(), dataset, tmp_path)
    assert computed == [list(range(30, 60)), list(range(90, 120))]
    assert torch.equal(whole.max_logits, resumed.max_logits)


def test_other_weights_have_another_pool(toy_network, toy_dataset, tmp_path):
    load(toy_network(), toy_dataset(), tmp_path)
    other = toy_network()
    other.weights_id = "other"
    load(other, toy_dataset(), tmp_path)
    assert len(list(tmp_path.glob("toy-*"))) == 2
