from __future__ import annotations

import numpy as np
import pytest
import torch

from bcos_eval.stimuli import pool as pool_module
from bcos_eval.stimuli.pool import load_pool
from bcos_eval.store.claims import Claims

CPU = torch.device("cpu")


def load(network, dataset, folder, advanced=None):
    record = [] if advanced is None else advanced
    return load_pool(network, dataset, folder, device=CPU, claims=Claims(folder), advance=record.append)


def test_the_pool_equals_a_loop_over_single_images(toy_network, toy_dataset, tmp_path):
    network, dataset = toy_network(), toy_dataset()
    pool = load(network, dataset, tmp_path)
    for index in range(len(dataset)):
        logits = network(network.encode(dataset[index].image[None]))[0]
        assert pool.max_logits[index].item() == pytest.approx(logits.max().item(), abs=1e-6)
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


def test_a_stored_pool_is_not_computed_again(toy_network, toy_dataset, tmp_path, monkeypatch):
    first = load(toy_network(), toy_dataset(), tmp_path)
    monkeypatch.setattr(pool_module, "_compute_piece", lambda *_: pytest.fail("computed"))
    advanced = []
    second = load(toy_network(), toy_dataset(), tmp_path, advanced)
    assert torch.equal(first.max_logits, second.max_logits)
    assert sum(advanced) == 36


def test_an_interrupted_pass_resumes_with_the_pieces_that_are_missing(
    toy_network, toy_dataset, tmp_path, monkeypatch
):
    monkeypatch.setattr(pool_module, "_IMAGES_PER_PIECE", 10)
    whole = load(toy_network(), toy_dataset(), tmp_path)
    pieces = sorted(tmp_path.rglob("*.npz"))
    assert len(pieces) == 4
    pieces[1].write_bytes(pieces[1].read_bytes()[:50])
    pieces[3].unlink()
    computed = []
    original = pool_module._compute_piece
    monkeypatch.setattr(
        pool_module, "_compute_piece", lambda *given: (computed.append(given[2]), original(*given))[1]
    )
    resumed = load(toy_network(), toy_dataset(), tmp_path)
    assert computed == [range(10, 20), range(30, 36)]
    assert torch.equal(whole.max_logits, resumed.max_logits)


def test_other_weights_have_another_pool(toy_network, toy_dataset, tmp_path):
    load(toy_network(), toy_dataset(), tmp_path)
    other = toy_network()
    other.weights_id = "other"
    load(other, toy_dataset(), tmp_path)
    assert len(list(tmp_path.glob("toy-*"))) == 2
