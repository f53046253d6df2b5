from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from bcos_eval.errors import IncompatibleError
from bcos_eval.stimuli.grids.bcos import bcos_grids, confident_order, take_grids


def simulated_order(labels, logits, correct, n_cells, threshold):
    """Steps 1 to 3 of algorithm G1 literally: class lists, pointers, a mask, the global NumPy generator."""
    n_classes = max(labels) + 1
    lists = [[] for _ in range(n_classes)]
    for index, label in enumerate(labels):
        if correct[index]:
            lists[label].append((index, float(logits[index])))
    lists = [sorted(entries, key=lambda entry: entry[1], reverse=True) for entries in lists]
    pointers = [0] * n_classes

    def has_next(label):
        if pointers[label] >= len(lists[label]):
            return False
        return torch.tensor(lists[label][pointers[label]][1]).sigmoid().item() > threshold

    mask = np.array([has_next(label) for label in range(n_classes)])
    saved = np.random.get_state()  # noqa: NPY002
    np.random.seed(42)  # noqa: NPY002
    order = []
    while mask.sum() > n_cells:
        for label in np.random.choice(np.arange(n_classes)[mask], n_cells, replace=False):  # noqa: NPY002
            order.append(lists[label][pointers[label]][0])
            pointers[label] += 1
            mask[label] = has_next(label)
    np.random.set_state(saved)  # noqa: NPY002
    return order


def simulated_grids(order, labels, n_cells, n_grids, extra):
    """Step 4 literally: an index i that restarts at each grid, and an offset."""
    grids, offset = [], 0
    for _ in range(n_grids):
        grid, classes, i = [], [], 0
        while len(grid) < n_cells:
            if offset + i >= len(order):
                return grids
            index = order[offset + i]
            i += 1
            if labels[index] in classes:
                continue
            grid.append(index)
            classes.append(labels[index])
        grids.append(tuple(grid))
        offset = offset + i + extra
    return grids


def random_pool(seed, n_images, n_classes, share_correct=0.8):
    generator = torch.Generator().manual_seed(seed)
    labels = torch.randint(n_classes, (n_images,), generator=generator).tolist()
    # One decimal makes ties common.
    logits = (torch.randn(n_images, generator=generator) * 2 + 1).mul(10).round().div(10)
    correct = torch.rand(n_images, generator=generator) < share_correct
    return labels, logits, correct


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 10_000),
    n_classes=st.integers(2, 25),
    n=st.sampled_from([2, 3]),
    threshold=st.sampled_from([0.5, 0.0]),
)
def test_order_equals_a_literal_simulation(seed, n_classes, n, threshold):
    labels, logits, correct = random_pool(seed, 300, n_classes)
    min_logit = 0.0 if threshold == 0.5 else float("-inf")
    order = confident_order(labels, logits, correct, n_cells=n * n, min_logit=min_logit)
    assert order == simulated_order(labels, logits, correct, n * n, threshold)


@pytest.mark.parametrize(("offset_rule", "extra"), [("official", 1), ("blockwise", 0)])
@pytest.mark.parametrize("n", [2, 3])
@pytest.mark.parametrize("n_classes", [10, 20, 100])
def test_grids_equal_a_literal_simulation(offset_rule, extra, n, n_classes):
    labels, logits, correct = random_pool(7, 2000, n_classes)
    grids = bcos_grids(labels, logits, correct, n=n, n_grids=100, offset_rule=offset_rule)
    order = simulated_order(labels, logits, correct, n * n, 0.5)
    assert grids == simulated_grids(order, labels, n * n, 100, extra)


@pytest.mark.parametrize(("offset_rule", "starts"), [("official", (0, 5, 10, 15)), ("blockwise", (0, 4, 8, 12))])
def test_offsets_of_consecutive_distinct_classes(offset_rule, starts):
    labels = list(range(100))
    plan = take_grids(labels, labels, n_cells=4, n_grids=4, n_dropped={"official": 1, "blockwise": 0}[offset_rule])
    assert plan.offsets[:-1] == starts
    assert plan.grids == tuple(tuple(range(start, start + 4)) for start in starts)


@pytest.mark.data
@pytest.mark.parametrize("model", ["resnet18", "densenet121"])
@pytest.mark.parametrize("n", [2, 3])
def test_grids_and_offsets_equal_the_official_ones(reference_dir, model, n):
    golden = np.load(reference_dir / "golden" / f"{model}.npz")
    items = range(10)
    targets = [(37 * (5 if item == 6 else item) + 11) % 1000 for item in items]
    n_grids = len(golden[f"grid{n}_items"])
    plan = take_grids(items, targets, n_cells=n * n, n_grids=n_grids, n_dropped=1)
    assert [list(grid) for grid in plan.grids] == golden[f"grid{n}_items"].tolist()
    assert list(plan.offsets) == golden[f"grid{n}_offsets"].tolist()
    assert [[targets[item] for item in grid] for grid in plan.grids] == golden[f"grid{n}_targets"].tolist()


def test_every_grid_has_distinct_classes_and_confident_images():
    labels, logits, correct = random_pool(3, 2000, 12)
    grids = bcos_grids(labels, logits, correct, n=3, n_grids=100)
    for grid in grids:
        assert len({labels[index] for index in grid}) == 9
        assert all(correct[index] and logits[index] > 0 for index in grid)
    used = [index for grid in grids for index in grid]
    assert len(used) == len(set(used))


def test_as_many_classes_as_cells_are_not_enough():
    labels = list(range(4)) * 10
    with pytest.raises(IncompatibleError) as caught:
        bcos_grids(labels, torch.ones(40), torch.ones(40, dtype=torch.bool), n=2)
    assert str(caught.value) == (
        "no 2×2 grid can be filled: only 4 classes have confidently and correctly classified images, at least 5 "
        "are needed; use more images or a better trained model."
    )


@pytest.mark.parametrize(("n_right", "hint"), [(9, "a smaller grid (--param METRIC.n=2), "), (4, ""), (0, "")])
def test_untrained_model_gets_a_hint_at_smaller_grids_if_they_can_be_filled(n_right, hint):
    with pytest.raises(IncompatibleError) as caught:
        bcos_grids(list(range(20)), torch.ones(20), torch.arange(20) < n_right, n=3)
    assert str(caught.value) == (
        f"no 3×3 grid can be filled: only {n_right} classes have confidently and correctly classified images, at "
        f"least 10 are needed; use {hint}more images or a better trained model."
    )


def test_small_pool_gives_fewer_grids_than_asked():
    labels = list(range(5)) * 2
    grids = bcos_grids(labels, torch.ones(10), torch.ones(10, dtype=torch.bool), n=2, n_grids=500)
    assert len(grids) == 1


def test_nothing_asked_gives_nothing():
    assert bcos_grids([0, 1], torch.ones(2), torch.ones(2, dtype=torch.bool), n=2, n_grids=0) == []


def test_logit_of_zero_is_not_confident():
    labels = list(range(5)) * 2
    logits = torch.tensor([1.0] * 5 + [0.0] * 5)
    correct = torch.ones(10, dtype=torch.bool)
    assert set(confident_order(labels, logits, correct, n_cells=4)) <= set(range(5))
    assert len(confident_order(labels, logits, correct, n_cells=4, min_logit=float("-inf"))) == 8


def test_global_random_state_is_left_alone():
    labels, logits, correct = random_pool(1, 500, 15)
    before = np.random.get_state()[1].copy()  # noqa: NPY002
    bcos_grids(labels, logits, correct, n=3)
    assert np.array_equal(before, np.random.get_state()[1])  # noqa: NPY002
