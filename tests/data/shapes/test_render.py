from __future__ import annotations

import re

import numpy as np
import pytest

from bcos_eval.data.shapes.render import render, render_with_and_without_object
from bcos_eval.data.shapes.scene import ELEMENT_NAMES, OBJECT, describe_scenes

N_SCENES = 12


@pytest.fixture(scope="module")
def scenes():
    return describe_scenes(np.arange(N_SCENES, dtype=np.int64), split="val", seed=0)


@pytest.fixture(scope="module")
def complete(scenes):
    return render(scenes)


def all_but(*positions):
    leave_out = np.zeros((N_SCENES, len(ELEMENT_NAMES)), dtype=bool)
    leave_out[:, list(positions)] = True
    return leave_out


def changed(images, others):
    return (images != others).any(axis=-1)


@pytest.mark.parametrize("position", range(len(ELEMENT_NAMES)), ids=ELEMENT_NAMES)
def test_leaving_out_an_element_changes_only_its_support(scenes, complete, position, supports):
    difference = changed(complete, render(scenes, all_but(position)))
    assert not (difference & ~supports(scenes)[:, position]).any()
    assert difference.any()


@pytest.mark.parametrize("position", range(len(ELEMENT_NAMES)), ids=ELEMENT_NAMES)
def test_leaving_out_an_absent_element_changes_nothing(scenes, complete, position, supports):
    absent = ~scenes.figures[position].present
    difference = changed(complete, render(scenes, all_but(position)))
    assert not difference[absent].any()
    assert not supports(scenes)[absent, position].any()


def test_elements_are_left_out_scene_by_scene(scenes, complete):
    leave_out = np.zeros((N_SCENES, len(ELEMENT_NAMES)), dtype=bool)
    leave_out[3, OBJECT] = True
    images = render(scenes, leave_out)
    np.testing.assert_array_equal(np.flatnonzero(changed(complete, images).any(axis=(1, 2))), [3])


def test_empty_scene_is_the_background_alone(scenes, supports):
    background = render(scenes, all_but(*range(len(ELEMENT_NAMES))))
    with_one = render(scenes, all_but(*range(len(ELEMENT_NAMES) - 1)))
    covered = supports(scenes)[:, OBJECT]
    np.testing.assert_array_equal(background[~covered], with_one[~covered])


def test_a_scene_without_its_object_is_the_scene_with_it_left_out(scenes, complete):
    images, without, _ = render_with_and_without_object(scenes)
    np.testing.assert_array_equal(images, complete)
    np.testing.assert_array_equal(without, render(scenes, all_but(OBJECT)))


def test_mask_is_where_the_object_replaces_the_scene(scenes, supports):
    images, without, masks = render_with_and_without_object(scenes)
    difference = changed(images, without)
    # A pixel of the object may have the colour of what it hides; one outside changes by shadow or edge alone.
    assert (difference & masks).sum() > 0.97 * masks.sum()
    assert not (difference & ~supports(scenes)[:, OBJECT]).any()
    darkening = without.astype(int).sum(axis=-1) - images.astype(int).sum(axis=-1)
    beside = difference & ~masks
    assert (darkening[beside] > 0).mean() > 0.8


def test_one_scene_renders_as_in_its_batch(scenes, complete):
    for index in range(4):
        alone = render(describe_scenes(np.array([index]), split="val", seed=0))
        np.testing.assert_array_equal(alone[0], complete[index])


def test_no_scenes_give_no_images():
    empty = describe_scenes(np.array([], dtype=np.int64), split="val", seed=0)
    assert render(empty).shape == (0, 64, 64, 3)


def test_wrong_shape_of_leave_out_is_refused(scenes):
    message = "leave_out has shape (12, 3); it must be (12, 12), scenes and elements."
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        render(scenes, np.zeros((N_SCENES, 3), dtype=bool))
