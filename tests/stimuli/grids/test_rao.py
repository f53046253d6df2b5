from __future__ import annotations

import pytest
import torch

from bcos_eval.errors import IncompatibleError
from bcos_eval.stimuli.grids.rao import confident_for_all, rao_grids


def simulated_grids(labels, eligible, n_cells, n_grids, seed):
    """Section 3.3 literally, with the global torch generator."""
    n_classes = max(labels) + 1
    grids = []
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        images = []
        for label in range(n_classes):
            of_class = [index for index in range(len(labels)) if labels[index] == label and eligible[index]]
            images.append([of_class[place] for place in torch.randperm(len(of_class))])
        used = [0] * n_classes
        for _ in range(n_grids):
            while True:
                classes = torch.randperm(n_classes)[:n_cells].tolist()
                if all(used[label] < len(images[label]) for label in classes):
                    break
            grids.append(tuple(images[label][used[label]] for label in classes))
            for label in classes:
                used[label] += 1
    return grids


def pool(n_classes, n_images, seed=0):
    generator = torch.Generator().manual_seed(seed)
    labels = (torch.arange(n_images) % n_classes)[torch.randperm(n_images, generator=generator)].tolist()
    return labels, torch.rand(n_images, generator=generator) < 0.7


@pytest.mark.parametrize(("n_classes", "n"), [(12, 2), (12, 3), (40, 3)])
@pytest.mark.parametrize("seed", [1, 5])
def test_grids_equal_a_literal_simulation(n_classes, n, seed):
    labels, eligible = pool(n_classes, 400)
    grids = rao_grids(labels, eligible, n=n, n_grids=20, seed=seed)
    assert grids == simulated_grids(labels, eligible, n * n, 20, seed)


def test_images_are_eligible_used_once_and_of_distinct_classes():
    labels, eligible = pool(15, 500)
    grids = rao_grids(labels, eligible, n=3, n_grids=30)
    used = [index for grid in grids for index in grid]
    assert len(used) == len(set(used)) == 270
    assert all(eligible[index] for index in used)
    assert all(len({labels[index] for index in grid}) == 9 for grid in grids)


def test_exhausted_pool_ends_instead_of_drawing_forever():
    labels, eligible = pool(6, 60)
    grids = rao_grids(labels, eligible, n=2, n_grids=500)
    left = eligible.clone()
    left[[index for grid in grids for index in grid]] = False
    assert 0 < len(grids) < 500
    assert len({labels[index] for index in left.nonzero()[:, 0].tolist()}) < 4


def test_few_classes_left_among_many_are_still_found():
    labels = list(range(1000))
    eligible = torch.zeros(1000, dtype=torch.bool)
    eligible[::100] = True  # ten of a thousand: the published redraw would practically never hit nine of them
    (grid,) = rao_grids(labels, eligible, n=3, n_grids=5)
    assert len(set(grid)) == 9
    assert all(eligible[index] for index in grid)


def test_pool_without_enough_classes_is_refused():
    with pytest.raises(IncompatibleError) as caught:
        rao_grids([0, 1, 2, 2], torch.ones(4, dtype=torch.bool), n=2)
    assert str(caught.value) == (
        "no 2×2 grid can be filled: only 3 classes have confidently and correctly classified images, at least 4 "
        "are needed; use more images or a better trained model."
    )


def test_global_generator_is_left_alone():
    labels, eligible = pool(12, 300)
    before = torch.random.get_rng_state()
    rao_grids(labels, eligible, n=2, n_grids=5)
    assert torch.equal(before, torch.random.get_rng_state())


def test_pool_is_the_intersection_over_models():
    probabilities = torch.tensor([[0.99, 0.999, 1.0, 0.98], [1.0, 0.5, 1.0, 1.0]])
    correct = torch.tensor([[True, True, True, True], [True, True, False, True]])
    assert confident_for_all(probabilities, correct, min_probability=0.985).tolist() == [True, False, False, False]


def test_probability_equal_to_the_threshold_is_confident():
    assert confident_for_all(torch.tensor([[0.99]], dtype=torch.float64), torch.tensor([[True]])).item()


@pytest.mark.parametrize("n", [2, 3])
def test_repeated_corners_show_two_images_of_one_class_and_the_other_cells_one_each(n):
    labels, eligible = pool(12, 400)
    grids = rao_grids(labels, eligible, n=n, n_grids=20, repeat_corners=True)
    used = [index for grid in grids for index in grid]
    assert len(grids) == 20
    assert len(used) == len(set(used))
    for grid in grids:
        classes = [labels[index] for index in grid]
        assert classes[0] == classes[-1]
        assert len(set(classes)) == n * n - 1


def test_repeated_corners_end_when_no_class_has_two_images_left():
    grids = rao_grids([0, 0, 1, 2], torch.ones(4, dtype=torch.bool), n=2, n_grids=5, repeat_corners=True)
    assert len(grids) == 1
    assert grids[0][0] in (0, 1)
    assert grids[0][-1] in (0, 1)
    with pytest.raises(IncompatibleError):
        rao_grids([0, 1, 2, 3], torch.ones(4, dtype=torch.bool), n=2, repeat_corners=True)
