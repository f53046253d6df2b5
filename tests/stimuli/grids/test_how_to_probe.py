from __future__ import annotations

import collections

import pytest
import torch
from PIL import Image
from torchvision.transforms.v2.functional import pil_to_tensor
from torchvision.utils import save_image

from bcos_eval.data.sample import Sample
from bcos_eval.errors import IncompatibleError
from bcos_eval.stimuli.grids.how_to_probe import as_stored, drawn_grids

LABELS = [index % 12 for index in range(600)]


def eligible(share=0.5):
    return torch.rand(len(LABELS), generator=torch.Generator().manual_seed(0)) < share


def test_a_grid_holds_eligible_images_of_different_classes():
    allowed = eligible()
    grids = drawn_grids(LABELS, allowed, n=3, n_grids=50)
    assert len(grids) == 50
    assert all(len({LABELS[index] for index in grid}) == 9 for grid in grids)
    assert all(allowed[index] for grid in grids for index in grid)


def test_images_come_again_in_other_grids():
    grids = drawn_grids(LABELS, eligible(0.1), n=2, n_grids=200)
    uses = collections.Counter(index for grid in grids for index in grid)
    assert max(uses.values()) > 5


def test_classes_are_drawn_alike_often_whatever_their_number_of_images():
    labels = [0] * 500 + list(range(1, 8)) * 10
    grids = drawn_grids(labels, torch.ones(len(labels), dtype=torch.bool), n=2, n_grids=2000)
    uses = collections.Counter(labels[index] for grid in grids for index in grid)
    # Half of the grids show any class: 1000 ± 22.
    assert all(abs(count - 1000) < 5 * 22.4 for count in uses.values())


def test_more_grids_begin_with_the_same_ones():
    assert drawn_grids(LABELS, eligible(), n_grids=30)[:10] == drawn_grids(LABELS, eligible(), n_grids=10)


def test_another_seed_gives_other_grids():
    assert drawn_grids(LABELS, eligible(), n_grids=5) != drawn_grids(LABELS, eligible(), n_grids=5, seed=1)


def test_only_the_first_images_of_a_class_are_kept():
    grids = drawn_grids(LABELS, eligible(1.1), n=2, n_grids=300, max_per_class=2)
    assert {index for grid in grids for index in grid} == set(range(24))


def test_too_few_classes_are_refused():
    with pytest.raises(IncompatibleError) as caught:
        drawn_grids([0, 1, 2, 2], torch.ones(4, dtype=torch.bool), n=2)
    assert str(caught.value) == (
        "no 2×2 grid can be filled: only 3 classes have confidently and correctly classified images, at least 4 "
        "are needed; use more images or a better trained model."
    )


def test_stored_pixels_are_those_of_the_png_file(tmp_path):
    image = torch.rand(3, 5, 7, generator=torch.Generator().manual_seed(0))
    save_image(image, tmp_path / "cell.png")
    expected = pil_to_tensor(Image.open(tmp_path / "cell.png")).float() / 255
    assert torch.equal(as_stored(Sample("a", image, 0)).image, expected)


@pytest.mark.parametrize("max_per_class", [None, 3, 20])
@pytest.mark.parametrize("share", [0.02, 0.1, 0.9])
def test_images_are_asked_about_as_needed_and_the_grids_are_the_same(share, max_per_class):
    allowed, asked = eligible(share), set()

    def told(indices):
        asked.update(indices)
        known = torch.zeros(len(LABELS), dtype=torch.bool)
        known[list(asked)] = allowed[list(asked)]
        return known

    wanted = {"n": 2, "n_grids": 2, "max_per_class": max_per_class}
    try:
        expected = drawn_grids(LABELS, allowed, **wanted)
    except IncompatibleError as error:
        with pytest.raises(IncompatibleError, match=str(error).partition(";")[0]):
            drawn_grids(LABELS, told, **wanted)
        assert len(asked) == len(LABELS)
    else:
        assert drawn_grids(LABELS, told, **wanted) == expected
        # At most eight of twelve classes are drawn; of the others a few images are looked at.
        assert len(asked) < len(LABELS)
