from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from bcos_eval.data import CounterfactualDataset, load_dataset
from bcos_eval.errors import InputError
from bcos_eval.user_code.dataset import checked_dataset


def refusal(dataset, index=0):
    with pytest.raises(InputError) as caught:
        checked_dataset(dataset)[index]
    return str(caught.value)


class Changed:
    """A dataset of which something is changed."""

    def __init__(self, dataset, **changes):
        self.__dict__.update(vars(dataset))
        self._of = dataset
        self._image = changes.pop("image", lambda image: image)
        self.class_names = dataset.class_names
        self.__dict__.update(changes)

    def digest(self):
        return self._of.digest()

    def __len__(self):
        return len(self._of)

    def __getitem__(self, index):
        sample = self._of[index]
        return replace(sample, sample_id=self.sample_ids[index], image=self._image(sample.image))


def test_shared_ids_are_refused(toy_dataset):
    ids = ["a.png"] * 2 + [f"{index}.png" for index in range(34)]
    assert refusal(Changed(toy_dataset(), sample_ids=ids)) == (
        "dataset 'toy' gives 1 ids to several samples ('a.png'); give each its own, for example its path with the "
        "class folder."
    )


def test_ids_that_are_numbers_become_texts(toy_dataset):
    data = checked_dataset(Changed(toy_dataset(), sample_ids=list(range(36))))
    assert data.sample_ids[3] == data[3].sample_id == "3"


@pytest.mark.parametrize(
    ("change", "found"),
    [
        (lambda image: (image - 0.45) / 0.225, "has values from "),
        (lambda image: image * 255, "has values from "),
        (lambda image: torch.full_like(image, torch.nan), "has values from nan to nan; "),
        (lambda image: (image * 255).byte(), "has shape (3, 8, 8) and type torch.uint8; "),
        (lambda image: image[None], "has shape (1, 3, 8, 8) and type torch.float32; "),
        (lambda image: image.numpy(), "is of type ndarray; "),
    ],
)
def test_images_that_are_no_pixels_in_0_to_1_are_refused(toy_dataset, change, found):
    assert refusal(Changed(toy_dataset(), image=change)).startswith(f"dataset 'toy': image 'image_0.png' {found}")


def test_rounding_of_an_undone_normalisation_is_cut_off(toy_dataset):
    data = checked_dataset(Changed(toy_dataset(), image=lambda image: image / image.max() * (1 + 1e-6)))
    assert data[0].image.max() == 1


def test_labels_that_are_no_classes_are_refused(toy_dataset):
    labels = [-1, *toy_dataset().labels[1:]]
    assert refusal(Changed(toy_dataset(), labels=labels)) == (
        "dataset 'toy' has the label -1; its 6 classes are 0 to 5."
    )


def test_a_dataset_that_renders_scenes_without_parts_still_does():
    assert isinstance(checked_dataset(load_dataset("shapes")), CounterfactualDataset)


def test_what_is_no_dataset_is_refused():
    with pytest.raises(InputError) as caught:
        checked_dataset([1, 2])
    assert str(caught.value) == (
        "the dataset list has no name and no class_names and no sample_ids and no labels and no has_regions and "
        "no digest; it needs name, class_names, sample_ids, labels, has_regions, digest, __len__, __getitem__, or "
        "give the name of a registered one."
    )
