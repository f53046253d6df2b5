from __future__ import annotations

import re

import numpy as np
import pytest
import torch

from bcos_eval.data import CounterfactualDataset, load_dataset
from bcos_eval.data.shapes.counterfactuals import PART_NAMES, visible_parts
from bcos_eval.data.shapes.render import render, render_variants
from bcos_eval.data.shapes.scene import ELEMENT_NAMES, N_CELLS, describe_scenes
from bcos_eval.stimuli.single import stimulus_at

N_SCENES = 10
OBJECT = PART_NAMES.index("object")


def scene(index):
    return describe_scenes(np.array([index], dtype=np.int64), split="val", seed=0)


@pytest.fixture(scope="module")
def dataset():
    return load_dataset("shapes")


@pytest.mark.parametrize("index", range(N_SCENES))
def test_the_region_of_a_part_is_where_the_picture_changes_without_it(index):
    one = scene(index)
    indices, regions, images = visible_parts(one)
    assert regions.any(axis=(1, 2)).all()
    assert (np.diff(indices) > 0).all()
    np.testing.assert_array_equal(regions, (images != render(one)).any(axis=-1))


def test_a_hidden_element_is_no_part():
    """An element that the object covers changes nothing when it goes."""
    for index in range(200):
        one = scene(index)
        found = visible_parts(one).indices
        for position, figure in enumerate(one.figures):
            leave_out = np.arange(len(ELEMENT_NAMES))[None] == position
            changes = figure.present[0] and (render(one) != render(one, leave_out)).any()
            assert (position in found) == changes
        if len(found) < sum(figure.present[0] for figure in one.figures) + N_CELLS:
            return
    pytest.fail("no scene hides an element or a cell")


@pytest.mark.parametrize("index", range(N_SCENES))
def test_an_element_is_left_out_as_by_the_plain_renderer(index):
    one = scene(index)
    for part, _, image in zip(*visible_parts(one), strict=True):
        if part < len(ELEMENT_NAMES):
            leave_out = np.arange(len(ELEMENT_NAMES))[None] == part
            np.testing.assert_array_equal(image, render(one, leave_out)[0])


@pytest.mark.parametrize("index", range(N_SCENES))
def test_a_part_changes_pixels_of_its_own_and_none_beyond_its_reach(index, supports):
    one = scene(index)
    complete = render(one)[0]
    for part, region, image in zip(*visible_parts(one), strict=True):
        difference = (image != complete).any(axis=-1)
        if part < len(ELEMENT_NAMES):
            reach = supports(one)[0, part]
        else:
            row, column = divmod(int(part) - len(ELEMENT_NAMES), 4)
            reach = np.zeros((64, 64), dtype=bool)
            reach[16 * row : 16 * row + 16, 16 * column : 16 * column + 16] = True
        assert not (difference & ~reach).any()
        assert difference[region].all()


def test_a_plain_cell_has_no_texture_inside_and_no_edge_at_its_border():
    one = scene(0)
    nothing = np.ones((2, len(ELEMENT_NAMES)), dtype=bool)
    cells = np.zeros((2, N_CELLS), dtype=bool)
    cells[1, 5] = True
    textured, plain = render_variants(one, nothing, cells).astype(float)
    inside = (slice(21, 27), slice(21, 27))
    # What is left inside is sensor noise of 0.41 · 9 levels and the slow change of colour.
    assert plain[inside].std(axis=(0, 1)).max() < 5
    assert plain[inside].std() < textured[inside].std() or textured[inside].std() < 5
    border = np.abs(plain - textured)[16:32, 16]
    assert border.max() < np.abs(plain - textured)[16:32, 16:32].max() / 2


def test_the_object_goes_with_its_region(dataset):
    for index in range(N_SCENES):
        parts = dataset.counterfactuals(index)
        at = int(np.flatnonzero(visible_parts(scene(index)).indices == OBJECT)[0])
        assert torch.equal(parts.images[at], dataset.without_object(index))
        mask = dataset[index].region
        # All but pixels that have the colour of what they hide; and the shadow besides.
        assert (parts.regions[at] & mask).sum() > 0.95 * mask.sum()
        assert (parts.regions[at] & ~mask).any()


def test_absent_and_hidden_elements_are_no_parts():
    for index in range(N_SCENES):
        one = scene(index)
        parts = visible_parts(one).indices
        absent = [position for position, figure in enumerate(one.figures) if not figure.present[0]]
        assert not set(absent) & set(parts.tolist())


def test_parts_do_not_depend_on_what_was_asked_before(dataset):
    first = dataset.counterfactuals(3)
    first.images.zero_()
    for index in range(70):
        dataset.counterfactuals(index % 7 + index // 10)
    again, anew = dataset.counterfactuals(3), load_dataset("shapes").counterfactuals(3)
    assert torch.equal(again.images, anew.images)
    assert torch.equal(again.regions, anew.regions)


def test_single_stimuli_render_their_parts_when_asked(dataset, monkeypatch):
    asked = []
    monkeypatch.setattr(type(dataset), "counterfactuals", lambda _, index: asked.append(index) or "parts")
    assert isinstance(dataset, CounterfactualDataset)
    second = stimulus_at(dataset, 2)
    assert asked == []
    assert second.counterfactuals() == "parts"
    assert asked == [2]


def test_an_index_outside_the_dataset_is_refused(dataset):
    message = "index 2000 is outside the dataset; it has 2000 samples, from 0."
    with pytest.raises(IndexError, match=f"^{re.escape(message)}$"):
        dataset.counterfactuals(2000)


def test_variants_of_several_scenes_or_other_shapes_are_refused():
    two = describe_scenes(np.arange(2, dtype=np.int64), split="val", seed=0)
    message = "2 scenes, leave_out (3, 12) and plain_cells (3, 15); give 1 scene, (3, 12) and (3, 16)."
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        render_variants(two, np.zeros((3, 12), dtype=bool), np.zeros((3, 15), dtype=bool))
