from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision.transforms import CenterCrop, Compose, Resize

from bcos_eval.data.transform import EvaluationTransform
from bcos_eval.errors import InputError

SIZES = [(500, 375), (375, 500), (300, 256), (257, 256), (64, 64), (333, 1000), (101, 67), (1, 1), (10, 500)]


def noise(width: int, height: int) -> Image.Image:
    values = np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)
    return Image.fromarray(values)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize(("resize", "crop"), [(64, 56), (85, 74), (33, 33)])
def test_equals_torchvision_on_pillow_images(size, resize, crop):
    image = noise(*size)
    expected = Compose([Resize(resize), CenterCrop(crop)])(image)
    result = EvaluationTransform(resize, crop).image(image)
    assert np.array_equal(np.asarray(result), np.asarray(expected))


def test_default_is_imagenets():
    assert EvaluationTransform() == EvaluationTransform(resize=256, crop=224)
    assert EvaluationTransform.for_size(None) == EvaluationTransform(256, 224)
    assert EvaluationTransform.for_size(112) == EvaluationTransform(128, 112)
    assert EvaluationTransform.for_size(64, 64) == EvaluationTransform(64, 64)


@pytest.mark.parametrize("size", [(50, 40), (40, 50), (64, 64), (30, 90)])
def test_boxes_follow_the_image_pixel_by_pixel(size):
    width, height = size
    boxes = [(3, 5, 20, 30), (25, 0, 29, 8)]
    region = EvaluationTransform(32, 28).region_of_boxes(boxes, width, height)

    short = min(width, height)
    new_width, new_height = int(32 * width / short), int(32 * height / short)
    top, left = round((new_height - 28) / 2), round((new_width - 28) / 2)
    for i in range(28):
        for j in range(28):
            row = math.floor((i + top + 0.5) * height / new_height)
            column = math.floor((j + left + 0.5) * width / new_width)
            inside = any(x0 <= column <= x1 and y0 <= row <= y1 for x0, y0, x1, y1 in boxes)
            assert bool(region[i, j]) == inside


def test_boxes_and_their_painted_regions_agree():
    painted = torch.zeros(375, 500, dtype=torch.bool)
    painted[40:201, 100:333] = True
    transform = EvaluationTransform()
    assert torch.equal(transform.region(painted), transform.region_of_boxes([(100, 40, 332, 200)], 500, 375))


def test_region_lies_where_the_painted_image_is_white():
    painted = np.zeros((300, 400), dtype=np.uint8)
    painted[50:180, 90:290] = 255
    transform = EvaluationTransform(128, 112)
    seen = torch.from_numpy(np.array(transform.image(Image.fromarray(painted)))) > 127
    region = transform.region_of_boxes([(90, 50, 289, 179)], 400, 300)
    assert (seen ^ region).sum() <= 4 * 112 * 0.5  # at most a border of half a pixel


def test_box_outside_the_crop_leaves_an_empty_region():
    assert not EvaluationTransform(64, 56).region_of_boxes([(0, 0, 5, 99)], 300, 100).any()


def test_box_of_the_whole_image_covers_the_crop():
    assert EvaluationTransform(64, 56).region_of_boxes([(0, 0, 299, 99)], 300, 100).all()


@pytest.mark.parametrize(("resize", "crop"), [(200, 224), (10, 0), (0, 0)])
def test_crop_beyond_the_image_is_refused(resize, crop):
    with pytest.raises(InputError) as caught:
        EvaluationTransform(resize, crop)
    assert str(caught.value) == (
        f"resize={resize} and crop={crop} do not fit; 1 ≤ crop ≤ resize is needed, for example resize=256 and "
        "crop=224."
    )


@pytest.mark.parametrize("size", [(1, 4000), (4000, 1)])
def test_thin_image_is_refused_before_it_grows(size):
    with pytest.raises(InputError) as caught:
        EvaluationTransform().image(Image.new("RGB", size))
    assert str(caught.value) == (
        f"an image of {size[0]}×{size[1]} pixels cannot be scaled to a shorter side of 256; one side may be at "
        "most 50 times the other: crop it."
    )
