from __future__ import annotations

import pytest
import torch
from PIL import Image
from torchvision.models import ResNet18_Weights

from bcos_eval.data import ArrayDataset, CounterfactualDataset, load_dataset
from bcos_eval.data.classes import has_class_names, in_classes_of, logits_of_classes
from bcos_eval.data.imagenette import IMAGENETTE_CLASSES
from bcos_eval.data.text_file import read_rows
from bcos_eval.data.wnids import imagenet_wnids
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
        "'crane' may be several of the network's classes; give its folder the WordNet id or another name."
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


WNIDS = imagenet_wnids()


def test_wnids_are_imagenet_s_in_order():
    assert (len(WNIDS), list(WNIDS)) == (1000, sorted(set(WNIDS)))
    # As the card of the photographs and torchvision say of these ten and of the first, 134th and last class.
    assert {wnid: IMAGENET[WNIDS.index(wnid)] for wnid in IMAGENETTE_CLASSES} == IMAGENETTE_CLASSES
    assert (WNIDS[0], WNIDS[134], WNIDS[999]) == ("n01440764", "n02012849", "n15075141")


@pytest.mark.data
def test_wnids_are_numbered_as_the_samples_index_says(data_dir):
    rows = read_rows(data_dir / "imagenet-samples" / "index.csv", "restore it")
    assert all(WNIDS[int(row["imagenet_index"])] == row["wnid"] for _, row in rows)


def test_folders_of_wnids_are_imagenet_s_classes_by_name_and_the_other_way_round():
    assert logits_of_classes(IMAGENET, ["n02102040", "n01440764"]) == (217, 0)
    assert logits_of_classes(["tench", "English springer"], ["n02102040", "n01440764", "dog"]) == (1, 0, None)
    assert logits_of_classes(["n01440764", "n02102040"], ["English springer", "tench"]) == (1, 0)
    assert logits_of_classes(WNIDS, IMAGENET) == tuple(range(1000))
    assert logits_of_classes(IMAGENET, WNIDS[::-1]) == tuple(range(1000))[::-1]


def test_two_classes_of_one_name_are_told_by_their_wnids_alone():
    crane_bird, crane, cardigan_dog, cardigan = (WNIDS[index] for index in (134, 517, 264, 474))
    assert logits_of_classes(IMAGENET, [crane, crane_bird, cardigan, cardigan_dog]) == (517, 134, 474, 264)
    old_names = ["crane" if name == "crane bird" else name for name in IMAGENET]
    assert logits_of_classes(old_names, [crane, crane_bird]) == (517, 134)
    for name in ("crane", "maillot", "Cardigan"):
        assert refusal(IMAGENET, ["tench", name]) == (
            f"'{name}' may be several of the network's classes; give its folder the WordNet id or another name."
        )
    assert "no logit for 1 of the dataset's 2 classes" in refusal(["crane", "tench", "eel"], ["tench", crane])
    assert logits_of_classes(["crane", "eel"], ["eel", "crane"]) == (1, 0)


def test_two_folders_of_one_class_are_refused():
    assert refusal(IMAGENET, ["tench", "n01440764"]) == (
        "'tench' and 'n01440764' are one class of the network; put their images in one folder."
    )


def test_a_network_of_some_of_the_dataset_s_classes_is_shown_their_images(dataset):
    known = in_classes_of(dataset, ["eel"])
    assert (known.labels, known.own_labels, known.sample_ids) == ((0,), (1,), ("eel/0.png",))
    assert (len(known), known[0].label, known[0].sample_id) == (1, 0, "eel/0.png")
    assert torch.equal(known[0].image, dataset[1].image)


def test_a_dataset_without_an_image_of_the_network_s_classes_is_refused():
    images = ArrayDataset(torch.rand(1, 3, 4, 4), [2], class_names=["dog", "eel", "fox"])
    with pytest.raises(InputError) as caught:
        in_classes_of(images, ["eel", "dog"])
    assert str(caught.value) == (
        "dataset 'arrays' has no image of the network's classes 'eel', 'dog', …; choose the dataset it was "
        "trained on."
    )
