from __future__ import annotations

import json
from pathlib import Path

import pytest

from bcos_eval.models import MODELS, published_weights


@pytest.mark.data
def test_official_files_digests_and_accuracies_equal_the_reference(reference_dir: Path):
    official = json.loads((reference_dir / "official_models.json").read_text())["models"]
    for entry, facts in official.items():
        standard = entry.startswith("standard_")
        ours = published_weights(entry.removeprefix("standard_") if standard else f"bcos_{entry}")
        assert ours is not None
        assert ours.url == facts["url"]
        assert ours.sha256_prefix == facts["checkpoint_sha256_prefix"]
        assert (ours.top1_percent, ours.top5_percent) == (facts["top1"], facts["top5"])
        assert ours.resize_size == facts["transform"]["resize_size"]


@pytest.mark.parametrize("name", sorted(MODELS))
def test_every_registered_model_has_a_published_file_with_a_digest(name: str):
    weights = published_weights(name)
    assert weights is not None
    assert weights.url.startswith("https://")
    assert weights.sha256_prefix in weights.file_name
    assert 50 < weights.top1_percent < weights.top5_percent < 100


def test_torchvisions_entry_is_its_own():
    weights = published_weights("resnet50_long")
    assert weights is not None
    assert weights.url == "https://download.pytorch.org/models/resnet50-11ad3fa6.pth"
    assert weights.source == "torchvision, ResNet50_Weights.IMAGENET1K_V2"
    assert weights.resize_size == 232


def test_an_unknown_model_has_none():
    assert published_weights("bcos_resnet19") is None
