from __future__ import annotations

import collections

import pytest
import torch

from bcos_eval.data.sample import Sample
from bcos_eval.errors import IncompatibleError
from bcos_eval.stimuli.mosaic import Mosaic, drawn_mosaics, mosaic_stimulus

LABELS = [index % 5 for index in range(60)]


def test_two_images_show_the_target_and_two_do_not():
    for mosaic in drawn_mosaics(LABELS, n_mosaics=40):
        assert len(set(mosaic.indices)) == 4
        assert sum(LABELS[index] == mosaic.target for index in mosaic.indices) == 2


def test_classes_take_turns_as_the_target():
    assert [mosaic.target for mosaic in drawn_mosaics(LABELS, n_mosaics=7)] == [0, 1, 2, 3, 4, 0, 1]


def test_the_target_s_images_are_in_any_two_cells_alike_often():
    places = collections.Counter(
        tuple(LABELS[index] == mosaic.target for index in mosaic.indices)
        for mosaic in drawn_mosaics(LABELS, n_mosaics=1200)
    )
    assert len(places) == 6
    # 1200 draws of six equal chances: 200 ± 13.
    assert all(abs(count - 200) < 5 * 13 for count in places.values())


def test_more_mosaics_begin_with_the_same_ones_and_another_seed_gives_others():
    few = drawn_mosaics(LABELS, n_mosaics=6)
    assert drawn_mosaics(LABELS, n_mosaics=12)[:6] == few
    assert drawn_mosaics(LABELS, n_mosaics=6, seed=1) != few


def test_classes_of_one_image_are_no_targets():
    assert {mosaic.target for mosaic in drawn_mosaics([0, 0, 1, 2, 2], n_mosaics=10)} == {0, 2}


@pytest.mark.parametrize("labels", [[0, 1, 2], [0, 0, 0, 1], []])
def test_too_few_images_are_refused(labels):
    with pytest.raises(IncompatibleError) as caught:
        drawn_mosaics(labels, n_mosaics=1)
    assert str(caught.value) == (
        f"no mosaic can be made of {len(labels)} images of {len(set(labels))} classes; it takes two images of one "
        "class and two of others: use more images."
    )


def test_the_region_is_where_the_target_s_images_are():
    samples = [Sample(name, torch.full((3, 2, 3), float(k)), k % 2) for k, name in enumerate("abcd")]
    stimulus = mosaic_stimulus("m", Mosaic(1, (0, 1, 2, 3)), samples)
    assert stimulus.targets.tolist() == [1]
    assert stimulus.sample_ids == ("b+d",)
    assert stimulus.image.shape == (3, 4, 6)
    assert sorted(set(stimulus.image[:, stimulus.regions[0]].flatten().tolist())) == [1.0, 3.0]
    assert stimulus.regions.float().mean() == 0.5
