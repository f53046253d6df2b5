"""RISE against the published algorithm written out."""

from __future__ import annotations

import re

import numpy as np
import pytest
import torch
from skimage.transform import resize

from bcos_eval.baselines import EXPLAINERS
from bcos_eval.baselines.rise import draw_masks
from bcos_eval.errors import InputError
from bcos_eval.seeding import derived_generator, image_key


def draws(n_masks=6, n_cells=4, keep_probability=0.5, size=(24, 30), seed=0):
    generator = torch.Generator().manual_seed(seed)
    return draw_masks(n_masks, n_cells, keep_probability, torch.Size(size), generator)


def test_masks_are_resized_as_by_scikit_image_and_cropped_at_their_shift():
    drawn = draws()
    masks = drawn.masks(slice(0, 6))
    for index in range(6):
        large = resize(drawn.cells[index].numpy(), (5 * 6, 5 * 8), order=1, mode="reflect", anti_aliasing=False)
        top, left = int(drawn.tops[index]), int(drawn.lefts[index])
        np.testing.assert_allclose(
            masks[index].numpy(), large[top : top + 24, left : left + 30], rtol=0, atol=1e-6
        )


def test_the_mean_mask_is_the_chance_of_a_cell_to_be_kept():
    masks = draws(n_masks=4000, keep_probability=0.1).masks(slice(0, 4000))
    assert masks.min() >= 0
    assert masks.max() <= 1 + 1e-6
    assert masks.mean().item() == pytest.approx(0.1, abs=0.01)


def test_maps_equal_a_loop_over_masks(standard, images, targets):
    params = {"n_masks": 7, "n_cells": 3, "keep_probability": 0.4}
    maps = EXPLAINERS["rise"](standard, images, targets, seed=9, **params)
    generator = derived_generator(9, "rise", image_key(images[1]))
    masks = draw_masks(7, 3, 0.4, torch.Size((24, 24)), generator).masks(slice(0, 7))
    expected = torch.zeros(3, 24, 24)
    for mask in masks:
        masked = standard.encode(images[1:2]) * mask
        probabilities = standard.probability(standard(masked))[0].detach()
        for k in range(3):
            expected[k] += probabilities[targets[1, k]] * mask / (7 * 0.4)
    torch.testing.assert_close(maps[1], expected)


def test_masked_images_exist_one_batch_at_a_time(standard, images, targets):
    seen = []
    handle = standard.register_forward_hook(lambda _module, inputs, _output: seen.append(len(inputs[0])))
    EXPLAINERS["rise"](standard, images, targets, n_masks=10, batch_pixels=4 * 24 * 24)
    handle.remove()
    assert seen == [4, 4, 2] * 3


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"n_masks": 0}, "rise.n_masks=0 is not allowed; use 1 or more"),
        ({"n_cells": 1}, "rise.n_cells=1 is not allowed; use 2 or more"),
        (
            {"keep_probability": 0.0},
            "rise.keep_probability=0.0 is not allowed; use a number above 0 and at most 1",
        ),
    ],
)
def test_values_out_of_range_are_refused(standard, images, targets, params, message):
    with pytest.raises(InputError, match=f"^{re.escape(message)}$"):
        EXPLAINERS["rise"](standard, images, targets, **params)
