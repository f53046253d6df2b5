from __future__ import annotations

import json
import re

import pytest
import torch
from safetensors.torch import save_file

from bcos_eval.errors import InputError
from bcos_eval.models import model_info
from bcos_eval.training.initial import card_of, licence_of, start_from


def small(name, n_classes):
    torch.manual_seed(n_classes)
    return model_info(name).build("small", n_classes)


@pytest.mark.parametrize("name", ["bcos_resnet18", "resnet18", "bcos_vitc_ti_patch1_14"])
def test_everything_but_the_classifier_is_taken_over_from_another_number_of_classes(name, tmp_path):
    source, model = small(name, 20), small(name, 16)
    path = tmp_path / "source.safetensors"
    save_file({key: value.half() if value.ndim > 1 else value for key, value in source.state_dict().items()}, path)
    random = {key: value.clone() for key, value in model.state_dict().items()}
    start_from(model, path)
    other = source.state_dict()
    taken = [key for key, value in model.state_dict().items() if value.shape == other[key].shape]
    kept = [key for key in random if key not in taken]
    assert all(
        torch.equal(
            model.state_dict()[key], other[key].half().to(other[key].dtype) if other[key].ndim > 1 else other[key]
        )
        for key in taken
    )
    assert all(torch.equal(model.state_dict()[key], random[key]) for key in kept)
    assert 0 < len(kept) <= 2


def test_weights_of_another_architecture_are_refused(tmp_path):
    path = tmp_path / "other.safetensors"
    save_file(small("resnet50", 20).state_dict(), path)
    message = f"--init {path} is of another architecture (layer1.0.bn3.bias, "
    with pytest.raises(InputError, match=f"^{re.escape(message)}"):
        start_from(small("resnet18", 16), path)


def test_a_file_that_is_not_there_is_named(tmp_path):
    message = f"no weights file at {tmp_path / 'x.pth'}; pass a .pth or .safetensors file"
    with pytest.raises(InputError, match=f"^{re.escape(message)}$"):
        start_from(small("resnet18", 16), tmp_path / "x.pth")


def test_the_card_beside_a_file_is_read_if_there_is_one(tmp_path):
    path = tmp_path / "w.safetensors"
    assert card_of(path) == {}
    path.with_suffix(".json").write_text(json.dumps({"licence": "mine"}), encoding="utf-8")
    assert card_of(path) == {"licence": "mine"}


OPEN = "Apache-2.0 (generated images)"
CLOSED = "non-commercial research and education only (ImageNet's terms for the training images)"
UNKNOWN = "see the terms of the training images"


@pytest.mark.parametrize(
    ("dataset", "expected"), [("shapes", OPEN), ("tiny_imagenet20", CLOSED), ("folder", UNKNOWN)]
)
def test_the_training_images_decide(dataset, expected):
    assert licence_of(dataset, None) == expected


@pytest.mark.parametrize(
    ("inherited", "expected"),
    [
        (OPEN, OPEN),
        (CLOSED, f"{OPEN}; initial weights: {CLOSED}"),
        (f"{OPEN}; initial weights: {CLOSED}", f"{OPEN}; initial weights: {CLOSED}"),
        (None, f"{OPEN}; initial weights: {UNKNOWN}"),
    ],
)
def test_terms_of_the_initial_weights_are_kept_and_said_once(inherited, expected, tmp_path):
    initial = tmp_path / "w.safetensors"
    if inherited is not None:
        initial.with_suffix(".json").write_text(json.dumps({"licence": inherited}), encoding="utf-8")
    assert licence_of("shapes", initial) == expected
