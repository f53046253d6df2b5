from __future__ import annotations

import numpy as np
import pytest
import torch

from bcos_eval.data.arrays import ArrayDataset
from bcos_eval.errors import InputError


def arrays(n=3):
    generator = torch.Generator().manual_seed(0)
    return torch.rand(n, 3, 6, 5, generator=generator), torch.arange(n), torch.rand(n, 6, 5) > 0.5


def test_samples_are_the_arrays_entries():
    images, labels, masks = arrays()
    dataset = ArrayDataset(images, labels, masks, class_names=["a", "b", "c", "d"])
    assert (len(dataset), dataset.labels, dataset.has_regions) == (3, (0, 1, 2), True)
    for index in range(3):
        sample = dataset[index]
        assert torch.equal(sample.image, images[index])
        assert torch.equal(sample.region, masks[index])
        sample.image.zero_()
        assert torch.equal(dataset[index].image, images[index])
    assert dataset.class_names == ("a", "b", "c", "d")


@pytest.mark.parametrize("channels_last", [False, True])
def test_bytes_and_numpy_arrays_are_understood(channels_last):
    levels = np.random.default_rng(0).integers(0, 256, (2, 3, 6, 5), dtype=np.uint8)
    given = levels.transpose(0, 2, 3, 1) if channels_last else levels
    dataset = ArrayDataset(given, [1, 0], np.ones((2, 6, 5), dtype=np.uint8))
    assert torch.equal(dataset[0].image, torch.from_numpy(levels[0]).float() / 255)
    assert dataset[0].region.all()
    assert dataset.class_names == ("0", "1")


def test_the_digest_follows_every_part():
    images, labels, masks = arrays()
    digests = {ArrayDataset(images, labels, masks).digest(), ArrayDataset(images, labels).digest()}
    digests.add(ArrayDataset(images, labels, ~masks).digest())
    digests.add(ArrayDataset(images, labels.flip(0), masks).digest())
    digests.add(ArrayDataset(1 - images, labels, masks).digest())
    assert len(digests) == 5
    assert ArrayDataset(images, labels, masks).digest() in digests


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        (
            {"images": torch.rand(3, 6, 5)},
            r"^images have shape \(3, 6, 5\); give \(N, 3, H, W\) or ",
        ),
        ({"images": torch.rand(3, 3, 6, 5) * 255}, r"^images have values from .* not normalised\.$"),
        ({"images": torch.full((3, 3, 6, 5), float("nan"))}, r"^images have values from nan to nan; "),
        ({"images": torch.zeros(3, 3, 6, 5, dtype=torch.int64)}, r"^images have type torch\.int64; "),
        (
            {"labels": torch.zeros(2, dtype=torch.int64)},
            r"^labels have shape \(2,\) and type torch\.int64; ",
        ),
        ({"labels": torch.zeros(3)}, r"^labels have shape \(3,\) and type torch\.float32; "),
        ({"labels": torch.tensor([0, -1, 2])}, r"^label -1 is no class index; "),
        ({"masks": torch.ones(3, 5, 6)}, r"^masks have shape \(3, 5, 6\); for these images give \(3, 6, 5\)\.$"),
        ({"class_names": ["a"]}, r"^label 2 has no name among 1 class names; "),
        ({"sample_ids": ["a", "a", "b"]}, r"^2 different sample ids for 3 images; "),
    ],
)
def test_other_arrays_are_refused(changed, message):
    images, labels, masks = arrays()
    given = {"images": images, "labels": labels, "masks": masks} | changed
    with pytest.raises(InputError, match=message):
        ArrayDataset(**given)
