from __future__ import annotations

import pytest
import torch
from PIL import Image
from torchvision.models import ResNet18_Weights

from bcos_eval.data import CounterfactualDataset, load_dataset
from bcos_eval.data.classes import has_class_names, in_classes_of, logits_of_classes
from bcos_eval.data.imagenette import IMAGENETTE_CLASSES
from bcos_eval.errors import InputError

IMAGENET = ResNet18_Weights.DEFAULT.meta["categories"]


def test_classes_in_another_order_are_found_by_name():
    network = ["zebra", "African_elephant", "cat"]
    assert logits_of_classes(network, ["african elephant", "Cat", "zebra, a striped horse"]) == (1, 2, 0)


def test_equal_lists_are_in_order_even_with_a_name_twice():
    assert logits_of_classes(["crane", "eel", "crane"], ("crane", "eel", "crane")) == (0, 1, 2)


def test_imagenette_is_a_part_of_imagenet():
    names = tuple(IMAGENETTE_CLASSES.values())
    # The places in ImageNet's list, as its index gives them for these ids.
    assert logits_of_classes(IMAGENET, names) == (0, 217, 482, 491, 497, 566, 569, 571, 574, 701)


def test_names_that_are_numbers_keep_the_order_of_as_many_classes():
    assert not has_class_names(["0", "1"])
    assert has_class_names(["1", "0"])
    assert logits_of_classes(["0", "1"], ["cat", "dog"]) == (0, 1)


def refusal(network, dataset):
    with pytest.raises(InputError) as caught:
        logits_of_classes(network, dataset)
    return str(caught.value)


def test_other_classes_are_refused_by_name():
    assert refusal(["cat", "dog", "eel"], ["dog", "fox"]) == (
        "the network has no logit for 1 of the dataset's 2 classes ('fox', …); its own classes are 'cat', 'dog', "
        "…: choose the dataset it was trained on, or rename the class folders."
    )


def test_a_number_of_classes_without_names_that_differs_is_refused():
    assert refusal([str(index) for index in range(1000)], ["cat", "dog"]) == (
        "the network has 1000 logits without names and the dataset 2 classes; give the network class_names, or "
        "choose the dataset that it was trained on."
    )


def test_a_class_that_may_be_two_logits_is_refused():
    assert refusal(["crane", "eel", "Crane"], ["crane"]) == (
        "'crane' may be several of the network's classes; rename the class folder."
    )


@pytest.fixture
def dataset(tmp_path):
    for name, colour in (("dog", (9, 0, 0)), ("eel", (0, 9, 0))):
        (tmp_path / name).mkdir()
        Image.new("RGB", (8, 8), colour).save(tmp_path / name / "0.png")
    return load_dataset("folder", tmp_path, size=8, resize=8)


def test_a_dataset_in_the_classes_of_a_network_is_labelled_with_its_logits(dataset):
    relabelled = in_classes_of(dataset, ["eel", "cat", "Dog"])
    assert relabelled.labels == (2, 0)
    assert [relabelled[index].label for index in range(2)] == [2, 0]
    assert torch.equal(relabelled[0].image, dataset[0].image)
    assert relabelled.class_names == ("eel", "cat", "Dog")
    assert (len(relabelled), relabelled.sample_ids, relabelled.name) == (2, dataset.sample_ids, "folder")
    other_order = in_classes_of(dataset, ["cat", "eel", "dog"])
    assert len({dataset.digest(), relabelled.digest(), other_order.digest()}) == 3


@pytest.mark.parametrize("names", [["dog", "eel"], ["Dog", "EEL"], ["0", "1"]])
def test_a_dataset_in_the_network_s_order_stays_what_it_is(dataset, names):
    assert in_classes_of(dataset, names) is dataset


def test_a_part_of_a_network_s_classes_that_begin_alike_is_relabelled(dataset):
    assert in_classes_of(dataset, ["dog", "eel", "fox"]).class_names == ("dog", "eel", "fox")


def test_relabelled_scenes_still_go_without_their_parts():
    shapes = load_dataset("shapes")
    relabelled = in_classes_of(shapes, shapes.class_names[::-1])
    assert isinstance(relabelled, CounterfactualDataset)
    assert relabelled[3].label == 15 - shapes[3].label
    assert torch.equal(relabelled.counterfactuals(3).images, shapes.counterfactuals(3).images)
