from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from bcos_eval.data.shapes.geometry import OUTLINES
from bcos_eval.data.shapes.random import Stream, scene_keys
from bcos_eval.data.shapes.scene import (
    CLASS_NAMES,
    ELEMENT_NAMES,
    OBJECT,
    describe_scenes,
    random_colours,
    scene_labels,
)
from bcos_eval.data.shapes.texture import TEXTURES


def first(count):
    return np.arange(count, dtype=np.int64)


def class_of(figure, row):
    return f"{TEXTURES[figure.texture[row]].name} {OUTLINES[figure.outline[row]].name}"


def same(one, other, rows):
    """Whether a figure is the same as the given rows of another."""
    fields = ("present", "outline", "texture", "pattern", "colours", "cut", "opacity", "shadow", "relief")
    poses = ("centre", "inverse", "radius")
    return all(np.array_equal(getattr(one, f), getattr(other, f)[rows]) for f in fields) and all(
        np.array_equal(getattr(one.pose, f), getattr(other.pose, f)[rows]) for f in poses
    )


def test_every_outline_has_two_textures_and_every_texture_four_outlines():
    textures, outlines = zip(*(name.split() for name in CLASS_NAMES), strict=True)
    assert len(set(CLASS_NAMES)) == 16
    assert set(Counter(outlines).values()) == {2}
    assert set(Counter(textures).values()) == {4}


def test_every_aligned_run_of_16_scenes_has_all_classes():
    labels = scene_labels(first(160), split="val", seed=0).reshape(10, 16)
    assert all(sorted(run) == list(range(16)) for run in labels.tolist())
    assert len({tuple(run) for run in labels.tolist()}) == 10


def test_the_object_is_what_the_label_says():
    scenes = describe_scenes(first(32), split="val", seed=0)
    described = [class_of(scenes.figures[OBJECT], row) for row in range(32)]
    assert described == [CLASS_NAMES[label] for label in scenes.labels]


def test_distractors_are_fragments_of_other_classes():
    scenes = describe_scenes(first(200), split="val", seed=0)
    fragments = scenes.figures[ELEMENT_NAMES.index("distractor_0") : OBJECT]
    assert len(fragments) == 4
    for fragment in fragments:
        classes = [CLASS_NAMES.index(class_of(fragment, row)) for row in range(200)]
        assert not (np.array(classes) == scenes.labels).any()
        assert set(classes) == set(range(16))
        # The cut passes near the middle: at least a fourth or so of the outline is gone.
        assert (fragment.cut[:, 2] <= 0.2).all()


def test_a_scene_does_not_depend_on_its_batch():
    together = describe_scenes(first(20), split="train", seed=4)
    alone = describe_scenes(np.array([13, 2]), split="train", seed=4)
    assert alone.labels.tolist() == together.labels[[13, 2]].tolist()
    for one, other in zip(alone.figures, together.figures, strict=True):
        assert same(one, other, [13, 2])


@pytest.mark.parametrize(("split", "seed"), [("train", 0), ("val", 1)])
def test_splits_and_seeds_have_no_scene_in_common(split, seed):
    default = describe_scenes(first(1000), split="val", seed=0)
    other = describe_scenes(first(1000), split=split, seed=seed)
    assert not set(default.keys.tolist()) & set(other.keys.tolist())


def test_paired_colours_differ_in_luminance_and_have_the_same_mean():
    stream = Stream(scene_keys("test", first(4000)), 0)
    pairs = random_colours(stream, low=0.3, high=0.7, max_chroma=0.0, contrast=0.1)
    step = np.abs(pairs[:, 0, 0] - pairs[:, 1, 0])
    assert step.min() >= 0.1 - 1e-9
    assert step.max() <= 0.2
    # Standard error of a mean 0.002; five of them.
    assert abs(pairs[:, 0].mean() - pairs[:, 1].mean()) < 0.01


def test_colours_are_valid_and_saturated_enough_to_tell_apart():
    stream = Stream(scene_keys("test", first(500)), 0)
    pairs = random_colours(stream, low=0.25, high=0.8, max_chroma=0.75, contrast=0.16)
    assert pairs.shape == (500, 2, 3)
    assert pairs.min() >= 0.0
    assert pairs.max() <= 1.0
    assert np.ptp(pairs, axis=2).mean() > 0.2
