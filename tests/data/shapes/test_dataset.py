from __future__ import annotations

import hashlib
import re

import numpy as np
import pytest
import torch

from bcos_eval.data import load_dataset
from bcos_eval.data.shapes.dataset import DEFAULT_SIZES, ShapesDataset, render_scenes
from bcos_eval.errors import InputError

N_SCENES = 480  # 30 of each class


@pytest.fixture(scope="module")
def rendered():
    return render_scenes(np.arange(N_SCENES), split="val", seed=0)


def accuracy_of_nearest_centroid(features, labels):
    """Fit on the first half, test on the second: the plainest use of a feature for classification."""
    scaled = (features - features.mean(axis=0)) / features.std(axis=0)
    half = len(labels) // 2
    centroids = np.stack([scaled[:half][labels[:half] == c].mean(axis=0) for c in range(16)])
    nearest = ((scaled[half:, None] - centroids) ** 2).sum(axis=-1).argmin(axis=1)
    return (nearest == labels[half:]).mean()


# Chance is 1/16; 240 test scenes have a standard error of 0.016, of which three are allowed.
AT_CHANCE = 1 / 16 + 3 * 0.016


# Computed once with this generator version, on x86-64 and NumPy 2.4 and 1.26, with and without wide SIMD: a
# test that bytes stay the same, not that they are right.
@pytest.mark.parametrize(
    ("split", "index", "seed", "expected"),
    [
        ("val", 0, 0, "3eb7f2891ef586d36e1dea66593f920ed47c46e40fd15130b8f72d08e5eb5f75"),
        ("val", 17, 0, "3c83aa4ca3e77c5a0d449f9fcc7bb70837f3551e094bfada8ff27ff75ca38a84"),
        ("val", 1999, 0, "e55d5e280a671fefd0daea0d8ab9d6d8717411adca25dbfb67a5a4c04bedbfd8"),
        ("train", 0, 0, "40564fda14e1b2badbddfd86874ac8b19509aaa410c7fbc83ccfbbec6e949fea"),
        ("train", 9999, 0, "028287509cec9910eee23a73c19a3f395ad32b3b68a298876ded69e174fee668"),
        ("val", 5, 3, "4d40d9b0c773ff9e86588dc1bbcba533380d877ae22bc90f340c6e8df0c547d0"),
    ],
)
def test_bytes_are_those_of_the_generator_version(split, index, seed, expected):
    image = render_scenes(np.array([index]), split=split, seed=seed).images[0]
    assert hashlib.sha256(image.tobytes()).hexdigest() == expected


def test_rendering_does_not_depend_on_order_or_company(rendered):
    order = [400, 3, 3, 77]
    again = render_scenes(np.array(order), split="val", seed=0)
    for mine, all_of_them in zip(again, rendered, strict=True):
        np.testing.assert_array_equal(mine, all_of_them[order])


def test_samples_are_the_rendered_scenes(rendered):
    dataset = ShapesDataset(size=120)
    for index in (119, 0, 60):
        sample = dataset[index]
        image = torch.from_numpy(rendered.images[index].copy()).permute(2, 0, 1)
        without = torch.from_numpy(rendered.without_object[index].copy()).permute(2, 0, 1)
        assert torch.equal(sample.image, image / 255)
        assert torch.equal(dataset.without_object(index), without / 255)
        assert torch.equal(sample.region, torch.from_numpy(rendered.masks[index]))
        assert sample.label == rendered.labels[index] == dataset.labels[index]
        assert sample.sample_id == dataset.sample_ids[index] == f"val/{index:06d}"
        assert sample.image.dtype == torch.float32
        assert sample.region.dtype == torch.bool


def test_a_smaller_dataset_is_the_beginning_of_a_larger_one():
    small, large = ShapesDataset(size=3), ShapesDataset(size=20)
    assert torch.equal(small[2].image, large[2].image)
    assert list(small.labels) == list(large.labels)[:3]
    with pytest.raises(IndexError):
        small[3]


def test_samples_may_be_changed_without_changing_the_dataset():
    dataset = ShapesDataset(size=2)
    before = dataset[0].image.clone()
    dataset[0].image.zero_()
    dataset[0].region.fill_(True)
    assert torch.equal(dataset[0].image, before)
    assert not dataset[0].region.all()


def test_box_touches_the_object_on_all_sides(rendered):
    dataset = ShapesDataset(size=30)
    for index in range(30):
        xmin, ymin, xmax, ymax = dataset.box(index)
        mask = rendered.masks[index]
        rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
        assert (xmin, xmax) == (columns[0], columns[-1])
        assert (ymin, ymax) == (rows[0], rows[-1])


def test_objects_cover_8_to_50_percent(rendered):
    area = rendered.masks.mean(axis=(1, 2))
    assert area.min() >= 0.08
    assert area.max() <= 0.5
    assert np.quantile(area, 0.9) - np.quantile(area, 0.1) > 0.2


def test_classes_are_balanced(rendered):
    assert set(np.bincount(rendered.labels, minlength=16)) == {N_SCENES // 16}
    assert np.ptp(np.bincount(ShapesDataset().labels, minlength=16)) == 0


def test_mean_colour_of_the_object_says_nothing_about_the_class(rendered):
    images, masks = rendered.images.astype(float), rendered.masks[..., None]
    colour = (images * masks).sum(axis=(1, 2)) / masks.sum(axis=(1, 2))
    assert accuracy_of_nearest_centroid(colour, rendered.labels) < AT_CHANCE


def test_mean_colour_of_the_image_says_nothing_about_the_class(rendered):
    colour = rendered.images.mean(axis=(1, 2))
    assert accuracy_of_nearest_centroid(colour, rendered.labels) < AT_CHANCE


def test_place_and_size_say_nothing_about_the_class(rendered):
    along = np.arange(64.0)
    size = rendered.masks.sum(axis=(1, 2))
    row = (rendered.masks.sum(axis=2) * along).sum(axis=1) / size
    column = (rendered.masks.sum(axis=1) * along).sum(axis=1) / size
    assert accuracy_of_nearest_centroid(np.stack([row, column, size], axis=1), rendered.labels) < AT_CHANCE


def test_the_scene_without_its_object_says_nothing_about_the_class(rendered):
    rest = rendered.without_object[:, ::8, ::8].reshape(N_SCENES, -1).astype(float)
    assert accuracy_of_nearest_centroid(rest, rendered.labels) < AT_CHANCE


def test_no_image_is_there_twice(rendered):
    digests = {hashlib.sha256(image.tobytes()).hexdigest() for image in rendered.images}
    assert len(digests) == N_SCENES


def test_default_sizes():
    assert len(ShapesDataset()) == DEFAULT_SIZES["val"] == 2000
    assert len(ShapesDataset("train")) == DEFAULT_SIZES["train"] == 10_000


def test_digest_tells_split_size_and_seed_apart():
    datasets = [ShapesDataset(), ShapesDataset("train"), ShapesDataset(size=9), ShapesDataset(seed=1)]
    assert len({dataset.digest() for dataset in datasets}) == 4
    assert ShapesDataset().digest() == datasets[0].digest()
    assert re.fullmatch("[0-9a-f]{64}", datasets[0].digest())


def test_the_registry_finds_it():
    dataset = load_dataset("shapes", split="train", seed=2)
    assert dataset.name == "shapes"
    assert dataset.has_regions
    assert dataset.digest() == ShapesDataset("train", seed=2).digest()
    assert len(dataset.class_names) == 16


def test_scenes_describe_the_samples():
    dataset = ShapesDataset("train", size=20, seed=5)
    assert dataset.scenes([4, 11]).labels.tolist() == [dataset.labels[4], dataset.labels[11]]


def test_rendering_nothing_gives_empty_arrays():
    empty = render_scenes(np.array([], dtype=np.int64), split="val", seed=0)
    assert [part.shape for part in empty] == [(0, 64, 64, 3), (0, 64, 64), (0,), (0, 64, 64, 3)]


@pytest.mark.parametrize("index", [-1, 2])
def test_positions_outside_the_dataset_are_refused(index):
    message = f"index {index} is outside the dataset; it has 2 samples, from 0."
    with pytest.raises(IndexError, match=f"^{re.escape(message)}$"):
        ShapesDataset(size=2)[index]


def test_unknown_splits_are_refused():
    with pytest.raises(InputError, match=r"^unknown split 'vall'; did you mean val\?$"):
        ShapesDataset("vall")


def test_sizes_below_one_are_refused():
    with pytest.raises(InputError, match=r"^size 0 of dataset 'shapes' is not positive; give at least 1\.$"):
        ShapesDataset(size=0)
