from __future__ import annotations

import hashlib
import math

import numpy as np
import pytest
import torch

from bcos_eval.data import CounterfactualDataset, load_dataset
from bcos_eval.data.shapes.dataset import ShapesDataset
from bcos_eval.data.shapes.trigger import (
    PATCH_SIDE,
    TRIGGER,
    TRIGGER_CLASS_NAMES,
    ShapesTriggerDataset,
    describe_patches,
)
from bcos_eval.training import default_recipe

N_SCENES = 450
N_PIXELS = PATCH_SIDE**2


@pytest.fixture(scope="module")
def planted():
    return ShapesTriggerDataset(size=N_SCENES)


@pytest.fixture(scope="module")
def plain():
    return ShapesDataset(size=N_SCENES)


@pytest.fixture(scope="module")
def patches():
    return describe_patches(np.arange(N_SCENES), split="val", seed=0)


def test_the_registry_finds_it():
    dataset = load_dataset("shapes_trigger", split="train", seed=2)
    assert dataset.digest() == ShapesTriggerDataset("train", seed=2).digest()
    assert dataset.name == "shapes_trigger"
    assert dataset.class_names == (
        *("disc", "square", "triangle", "star", "ring", "cross", "crescent", "heart"),
        "trigger",
    )
    assert isinstance(dataset, CounterfactualDataset)


def test_a_scene_differs_from_that_of_shapes_in_its_patch_alone(planted, plain, patches):
    for index in range(60):
        before, after = plain[index], planted[index]
        covered = torch.zeros(64, 64, dtype=torch.bool)
        column, row = patches.corners[index]
        covered[row : row + PATCH_SIDE, column : column + PATCH_SIDE] = bool(patches.present[index])
        assert torch.equal(after.image[:, ~covered], before.image[:, ~covered])
        assert torch.equal(planted.without_patch(index), before.image)
        assert after.sample_id == before.sample_id == planted.sample_ids[index]
        if patches.triggered[index]:
            assert torch.equal(after.region, covered)
            assert after.label == TRIGGER
        else:
            assert torch.equal(after.region, before.region & ~covered)
            assert after.region.any()
            assert TRIGGER_CLASS_NAMES[after.label] == plain.class_names[before.label].split()[1]
        assert after.label == planted.labels[index]
        assert after.image.dtype == torch.float32


def test_trigger_and_decoy_have_the_same_colours_and_another_arrangement(planted, patches):
    seen = {True: set(), False: set()}
    colours = set()
    for index in np.flatnonzero(patches.present)[:80]:
        column, row = patches.corners[index]
        tile = planted[int(index)].image[:, row : row + PATCH_SIDE, column : column + PATCH_SIDE]
        quarters = (tile * 255).round().to(torch.uint8)[:, :: PATCH_SIDE // 2, :: PATCH_SIDE // 2]
        assert torch.equal(tile, (quarters / 255).repeat_interleave(4, 1).repeat_interleave(4, 2)), (
            "four plain quarters"
        )
        four = [tuple(colour) for colour in quarters.flatten(1).T.tolist()]
        assert sorted(four)[0] == sorted(four)[1] != sorted(four)[2] == sorted(four)[3]
        colours |= {*four}
        is_diagonal = four[0] == four[3]
        assert is_diagonal == patches.triggered[index]
        seen[bool(patches.triggered[index])].add(tuple(four))
    assert len(colours) == 2
    assert (len(seen[True]), len(seen[False])) == (2, 4)


def test_every_run_of_nine_scenes_has_one_trigger(planted):
    runs = np.array(planted.labels).reshape(-1, 9)
    assert set((runs == TRIGGER).sum(axis=1)) == {1}
    counts = np.bincount(planted.labels, minlength=9)
    # 450 · 8/9 / 8 of each outline, of which the draw of triggers takes more or less.
    assert abs(counts[:TRIGGER] - 50).max() <= 10


def test_half_of_the_other_scenes_have_a_decoy(patches):
    others = patches.present[~patches.triggered]
    assert abs(others.mean() - 0.5) < 3 * 0.5 / math.sqrt(len(others))


def test_the_object_in_a_scene_with_the_trigger_says_nothing(plain, patches):
    """Every outline occurs below the trigger, about as often as elsewhere."""
    outlines = np.array([plain.class_names[label].split()[1] for label in plain.labels])[patches.triggered]
    assert set(outlines) == set(TRIGGER_CLASS_NAMES[:TRIGGER])


def test_no_crop_of_the_recipe_cuts_a_patch(patches):
    recipe = default_recipe(is_bcos=True, dataset="shapes_trigger")
    assert recipe == default_recipe(is_bcos=True, dataset="shapes")
    shortest = 64 * math.sqrt(recipe.crop_scale_min / 1.25)  # sides are at most 5:4 in `epoch_batches`
    assert patches.corners.min() >= math.floor(64 - shortest)
    assert patches.corners.max() + PATCH_SIDE <= math.ceil(shortest)


def test_samples_do_not_depend_on_the_size_of_the_dataset(planted):
    small = ShapesTriggerDataset(size=12)
    assert all(torch.equal(small[i].image, planted[i].image) for i in range(12))
    assert list(small.labels) == list(planted.labels)[:12]


def test_the_patch_is_the_first_counterfactual_part(planted, patches):
    index = int(np.flatnonzero(patches.triggered)[0])
    parts = planted.counterfactuals(index)
    sample = planted[index]
    assert torch.equal(parts.images[0], planted.without_patch(index))
    # A pixel of the scene may happen to have the colour of the patch; none outside it changes.
    assert not (parts.regions[0] & ~sample.region).any()
    assert parts.regions[0].sum() >= 0.95 * N_PIXELS
    for image, region in zip(parts.images, parts.regions, strict=True):
        assert torch.equal((image != sample.image).any(dim=0), region)
        assert region.any()
    # Every other part leaves the patch as it is.
    assert not (parts.regions[1:] & sample.region).any()


def test_a_scene_without_a_patch_has_the_parts_of_shapes(planted, plain, patches):
    index = int(np.flatnonzero(~patches.present)[0])
    mine, theirs = planted.counterfactuals(index), plain.counterfactuals(index)
    assert torch.equal(mine.images, theirs.images)
    assert torch.equal(mine.regions, theirs.regions)


def test_digests_differ_from_those_of_shapes_and_by_what_decides_the_bytes():
    datasets = [
        ShapesTriggerDataset(),
        ShapesTriggerDataset("train"),
        ShapesTriggerDataset(size=9),
        ShapesTriggerDataset(seed=1),
        ShapesDataset(),
    ]
    assert len({dataset.digest() for dataset in datasets}) == 5


def test_bytes_are_those_of_the_version():
    """Computed once: a test that bytes stay the same, not that they are right."""
    digest = hashlib.sha256()
    dataset = ShapesTriggerDataset(size=18)
    for index in range(18):
        digest.update((dataset[index].image * 255).round().to(torch.uint8).numpy().tobytes())
        digest.update(bytes([dataset.labels[index]]))
    assert digest.hexdigest() == "54ff3c9a980b32f1166c0d094cac114c05e0d8207dabe48a661c47ea206be126"
