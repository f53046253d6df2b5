from __future__ import annotations

from collections import Counter

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from bcos_eval.data.sample import Sample
from bcos_eval.stimuli.single import balanced_order, single_stimulus


def slow_order(labels):
    remaining = {label: [i for i, other in enumerate(labels) if other == label] for label in sorted(set(labels))}
    order = []
    while any(remaining.values()):
        order += [queue.pop(0) for queue in remaining.values() if queue]
    return order


@given(st.lists(st.integers(0, 6), max_size=60))
def test_order_takes_classes_in_turn(labels):
    assert balanced_order(labels) == slow_order(labels)


@given(st.integers(1, 80))
def test_any_prefix_is_balanced(length):
    labels = [0] * 20 + [1] * 20 + [2] * 20 + [3] * 20
    counts = Counter(labels[index] for index in balanced_order(labels)[:length])
    assert max(counts.values()) - min(counts.get(label, 0) for label in range(4)) <= 1


def test_sample_becomes_a_stimulus_with_one_target():
    region = torch.zeros(4, 6, dtype=torch.bool)
    region[1:3, 2:5] = True
    image = torch.rand(3, 4, 6)
    stimulus = single_stimulus(Sample("val_3.JPEG", image, 7, region))
    assert stimulus.stimulus_id == "single/val_3.JPEG"
    assert torch.equal(stimulus.image, image)
    assert stimulus.targets.tolist() == [7]
    assert stimulus.targets.dtype == torch.int64
    assert torch.equal(stimulus.regions, region[None])
    assert stimulus.sample_ids == ("val_3.JPEG",)


def test_unknown_region_is_all_false():
    stimulus = single_stimulus(Sample("a", torch.zeros(3, 4, 6), 0))
    assert stimulus.regions.shape == (1, 4, 6)
    assert stimulus.regions.dtype == torch.bool
    assert not stimulus.regions.any()


def test_region_of_another_shape_is_refused():
    sample = Sample("a", torch.zeros(3, 4, 6), 0, torch.zeros(6, 4, dtype=torch.bool))
    with pytest.raises(ValueError) as caught:  # noqa: PT011 - the whole message is compared
        single_stimulus(sample)
    assert str(caught.value) == (
        "sample 'a': region (6, 4) does not fit the image's (4, 6); both must have the same height and width."
    )
