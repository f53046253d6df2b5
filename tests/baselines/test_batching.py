from __future__ import annotations

import pytest
import torch

from bcos_eval.baselines.batching import FORWARD_BATCH_PIXELS, batches
from bcos_eval.contract import pass_size
from bcos_eval.contract.pass_size import images_per_pass


class OnCard:
    """An image as the sizes of passes see it, on a CUDA card."""

    device = torch.device("cuda", 0)
    shape = (3, 224, 224)


@pytest.mark.parametrize(("gib", "expected"), [(1, 2), (8, 5), (16, 10), (64, 41)])
def test_a_card_takes_more_at_once_by_its_memory_class(monkeypatch, gib, expected):
    monkeypatch.setattr(pass_size, "memory_class_gib", lambda device: gib)
    assert images_per_pass(OnCard, FORWARD_BATCH_PIXELS) == expected


def test_slices_cover_all_items_once_and_hold_one_at_least():
    image = torch.empty(3, 10, 10)
    assert list(batches(5, image, 250)) == [slice(0, 2), slice(2, 4), slice(4, 5)]
    assert list(batches(2, image, 1)) == [slice(0, 1), slice(1, 2)]
    assert list(batches(0, image, 1)) == []
