"""`cifar10` and `voc2007` on files in the releases' layouts, a few images each."""

from __future__ import annotations

import hashlib
import pickle

import numpy as np
import pytest
import torch
from PIL import Image, ImageDraw
from torchvision import datasets

from bcos_eval.data import load_dataset
from bcos_eval.errors import InputError


@pytest.fixture
def cifar(tmp_path, monkeypatch):
    """Five images in each batch of the release's layout, whose digests torchvision is told."""
    folder = tmp_path / "cifar-10-batches-py"
    folder.mkdir()
    rng = np.random.default_rng(0)

    def write(name, content):
        data = pickle.dumps(content)
        (folder / name).write_bytes(data)
        return name, hashlib.md5(data, usedforsecurity=False).hexdigest()

    def batch():
        return {"data": rng.integers(0, 256, (5, 3072), dtype=np.uint8), "labels": [3, 1, 4, 1, 5]}

    names = [f"class{index}" for index in range(10)]
    monkeypatch.setattr(datasets.CIFAR10, "train_list", [write(f"data_batch_{n}", batch()) for n in range(1, 6)])
    monkeypatch.setattr(datasets.CIFAR10, "test_list", [write("test_batch", batch())])
    name, digest = write("batches.meta", {"label_names": names})
    monkeypatch.setattr(datasets.CIFAR10, "meta", {"filename": name, "key": "label_names", "md5": digest})
    return tmp_path


def test_cifar10_is_torchvision_s(cifar):
    dataset = load_dataset("cifar10", cifar)
    theirs = datasets.CIFAR10(cifar, train=False)
    assert len(dataset) == 5
    assert dataset.labels == (3, 1, 4, 1, 5)
    assert dataset.class_names[3] == "class3"
    for index in range(5):
        pixels = np.array(theirs[index][0])
        assert torch.equal(dataset[index].image, torch.from_numpy(pixels).permute(2, 0, 1).float() / 255)
    assert len(load_dataset("cifar10", cifar, split="train")) == 25
    assert load_dataset("cifar10", cifar, split="train").digest() != dataset.digest()


@pytest.fixture
def voc(tmp_path):
    """One photograph with a cat, a second one marked difficult, and a dog."""
    root = tmp_path / "VOCdevkit" / "VOC2007"
    for folder in ("JPEGImages", "Annotations", "ImageSets/Main"):
        (root / folder).mkdir(parents=True)
    image = Image.new("RGB", (100, 80), "black")
    ImageDraw.Draw(image).rectangle((20, 10, 59, 39), fill="white")
    image.save(root / "JPEGImages" / "000001.jpg", quality=95)
    objects = [("cat", (21, 11, 60, 40), 0), ("cat", (70, 50, 90, 70), 1), ("dog", (1, 1, 10, 10), 0)]
    text = "".join(
        f"<object><name>{name}</name><difficult>{difficult}</difficult><bndbox><xmin>{box[0]}</xmin>"
        f"<ymin>{box[1]}</ymin><xmax>{box[2]}</xmax><ymax>{box[3]}</ymax></bndbox></object>"
        for name, box, difficult in objects
    )
    size = "<size><width>100</width><height>80</height></size>"
    (root / "Annotations" / "000001.xml").write_text(f"<annotation>{size}{text}</annotation>")
    (root / "ImageSets" / "Main" / "test.txt").write_text("000001\n")
    return tmp_path


def test_voc2007_has_a_sample_for_every_class_in_a_photograph(voc):
    dataset = load_dataset("voc2007", voc, size=80, resize=80)
    assert dataset.sample_ids == ("000001/cat", "000001/dog")
    assert [dataset.class_names[label] for label in dataset.labels] == ["cat", "dog"]
    sample = dataset[0]
    white = sample.image.mean(0) > 0.5
    assert float((white & sample.region).sum() / (white | sample.region).sum()) > 0.95


@pytest.mark.parametrize("name", ["cifar10", "voc2007"])
def test_what_cannot_be_fetched_is_refused_in_one_line(name, tmp_path, monkeypatch):
    def offline(*_, **__):
        raise OSError("no network")

    for module in ("cifar", "voc"):
        monkeypatch.setattr(f"torchvision.datasets.{module}.download_and_extract_archive", offline)
    with pytest.raises(InputError) as caught:
        load_dataset(name, tmp_path / "empty")
    assert str(caught.value) == (
        f"dataset '{name}' is not in '{tmp_path / 'empty'}' and cannot be fetched (no network); pass --data-dir "
        "with torchvision's folder of it."
    )
