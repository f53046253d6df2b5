from __future__ import annotations

import hashlib
from pathlib import Path

import pytest
import torch

from bcos_eval.data import load_dataset
from bcos_eval.models import MODELS, load_model, shipped_card, shipped_weights
from bcos_eval.models.load import WEIGHTS_DIR
from bcos_eval.training.images import read_all, top1_accuracy

LARGEST_FILE = 6_000_000
LARGEST_GAP = 0.05
FILES = {
    (name, dataset): path for name in sorted(MODELS) for dataset, path in sorted(shipped_weights(name).items())
}
PAIRS = sorted((name, dataset) for name, dataset in FILES if not name.startswith("bcos_"))


def test_both_resnets_of_each_kind_are_shipped_for_both_datasets():
    names = [f"{prefix}{name}" for prefix in ("", "bcos_") for name in ("resnet18", "resnet50")]
    assert {(n, d) for n in names for d in ("shapes", "tiny_imagenet20")} <= set(FILES)


@pytest.mark.parametrize("key", FILES, ids="-".join)
def test_files_are_small_and_have_a_card_that_is_theirs(key: tuple[str, str]):
    path = FILES[key]
    card = shipped_card(path)
    assert path.stat().st_size <= LARGEST_FILE
    assert (card["model"], card["dataset"]) == key
    assert card["licence"]
    assert len(card["git_commit"]) == 40


@pytest.mark.parametrize("key", FILES, ids="-".join)
def test_every_file_has_the_digest_in_its_card(key: tuple[str, str]):
    path = FILES[key]
    assert hashlib.sha256(path.read_bytes()).hexdigest() == shipped_card(path)["sha256"]


@pytest.mark.parametrize("key", FILES, ids="-".join)
def test_cards_describe_the_network_that_is_built(key: tuple[str, str]):
    card, info = shipped_card(FILES[key]), MODELS[key[0]]
    with torch.device("meta"):
        network = info.build(card["variant"], card["num_classes"])
    assert sum(parameter.numel() for parameter in network.parameters()) == card["parameters"]
    assert card["variant_note"] == info.small_note
    assert len(card["class_names"]) == card["num_classes"]


def test_every_weights_file_belongs_to_a_model_and_every_card_to_a_file():
    assert sorted(FILES.values()) == sorted(WEIGHTS_DIR.glob("*.safetensors"))
    assert {path.stem for path in FILES.values()} == {path.stem for path in WEIGHTS_DIR.glob("*.json")}


@pytest.mark.parametrize("pair", PAIRS, ids="-".join)
def test_bcos_and_standard_networks_of_a_pair_are_about_equally_accurate(pair: tuple[str, str]):
    name, dataset = pair
    accuracies = [shipped_card(FILES[model, dataset])["val_top1"] for model in (name, f"bcos_{name}")]
    assert abs(accuracies[0] - accuracies[1]) <= LARGEST_GAP


@pytest.mark.slow
@pytest.mark.parametrize("key", [key for key in FILES if key[1] == "shapes"], ids="-".join)
def test_models_on_generated_data_are_as_accurate_as_their_cards_say(key: tuple[str, str]):
    card = shipped_card(FILES[key])
    dataset = load_dataset("shapes")
    assert dataset.digest() == card["val_digest"]
    accuracy = top1_accuracy(load_model(key[0], dataset="shapes"), read_all(dataset))
    # One image may flip on other hardware.
    assert accuracy == pytest.approx(card["val_top1"], abs=1.5 / len(dataset))


@pytest.mark.slow
@pytest.mark.data
@pytest.mark.parametrize("key", [key for key in FILES if key[1] == "tiny_imagenet20"], ids="-".join)
def test_models_on_photographs_are_as_accurate_as_their_cards_say(key: tuple[str, str], data_dir: Path):
    dataset = load_dataset("tiny_imagenet20", data_dir / "tiny-imagenet")
    accuracy = top1_accuracy(load_model(key[0], dataset="tiny_imagenet20"), read_all(dataset))
    assert accuracy == pytest.approx(shipped_card(FILES[key])["val_top1"], abs=1.5 / len(dataset))
