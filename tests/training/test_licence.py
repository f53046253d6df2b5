from __future__ import annotations

import json

import pytest

from bcos_eval.training.licence import licence_of

OPEN = "Apache-2.0 (generated images)"
CLOSED = "non-commercial research and education only (ImageNet's terms for the training images)"
UNKNOWN = "see the terms of the training images"


@pytest.mark.parametrize(
    ("dataset", "expected"), [("shapes", OPEN), ("tiny_imagenet20", CLOSED), ("my_images", UNKNOWN)]
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
