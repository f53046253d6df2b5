from __future__ import annotations

from types import SimpleNamespace

import torch

from bcos_eval.contract.explained_model import content_key, memory_of


def test_equal_content_has_equal_keys_wherever_it_lies_in_memory():
    tensor = torch.arange(12.0).reshape(3, 4)
    assert content_key(tensor.T, 1) == content_key(tensor.T.contiguous(), 1)


def test_values_shapes_types_and_order_tell_keys_apart():
    tensor = torch.zeros(2, 3)
    keys = [
        content_key(tensor),
        content_key(tensor.T),
        content_key(tensor.double()),
        content_key(tensor.int()),
        content_key(tensor + 1),
        content_key(tensor, 1),
        content_key(1, tensor),
        content_key(tensor, "1"),
    ]
    assert len(set(keys)) == len(keys)


def test_a_model_without_a_memory_computes_anew_each_time():
    made = []
    remember = memory_of(SimpleNamespace(), "pixels")
    for _ in range(2):
        remember("key", lambda: made.append(1) or torch.zeros(1))
    assert made == [1, 1]


def test_readings_of_the_same_picture_are_kept_apart():
    seen = []
    model = SimpleNamespace(remembered=lambda key, make: seen.append(key) or make())
    for reading in ("pixels", "encoded"):
        memory_of(model, reading)("key", lambda: torch.zeros(1))
    assert seen == ["pixels/key", "encoded/key"]
