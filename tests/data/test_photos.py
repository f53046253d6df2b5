from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image

from bcos_eval.cli.main import main
from bcos_eval.data import load_dataset
from bcos_eval.data.photos import PhotosDataset, PredictedPhotos, predicted_labels
from bcos_eval.errors import InputError
from bcos_eval.store.shards import Store

BRIGHTNESSES = {"dark.png": 20, "deep/grey.png": 130, "light.jpg": 240}


@pytest.fixture
def folder(tmp_path):
    for name, value in BRIGHTNESSES.items():
        path = tmp_path / "pictures" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.full((70, 90, 3), value, dtype=np.uint8)).save(path)
    return tmp_path / "pictures"


def by_brightness(images):
    """Three classes: dark, medium and bright pictures."""
    mean = images.mean((1, 2, 3))
    return torch.stack([-((mean - centre) ** 2) for centre in (0.1, 0.5, 0.9)], dim=1)


def test_all_pictures_are_found_and_nobody_says_what_they_show(folder):
    photos = load_dataset("photos", folder, size=32)
    assert photos.sample_ids == ("dark.png", "deep/grey.png", "light.jpg")
    assert photos[1].image.shape == (3, 32, 32)
    assert photos[1].region is None
    assert not photos.has_regions


def test_labels_are_what_a_network_takes_pictures_for(folder):
    photos = PhotosDataset(folder)
    done = []
    labels = predicted_labels(photos, by_brightness, done.append)
    assert labels == [0, 1, 2]
    assert sum(done) == 3
    predicted = PredictedPhotos(photos, labels, ("dark", "medium", "bright"))
    assert [predicted[index].label for index in range(3)] == list(predicted.labels) == [0, 1, 2]
    assert torch.equal(predicted[2].image, photos[2].image)
    assert predicted.digest() != PredictedPhotos(photos, [0, 1, 1], predicted.class_names).digest()


def test_an_unreadable_picture_keeps_its_place(folder):
    (folder / "deep" / "grey.png").write_bytes(b"no picture")
    assert predicted_labels(PhotosDataset(folder), by_brightness, lambda n: None) == [0, 0, 2]


def test_an_empty_folder_is_refused(tmp_path):
    with pytest.raises(InputError) as caught:
        load_dataset("photos", tmp_path)
    assert str(caught.value) == f"'{tmp_path}' holds no pictures; --data-dir must be a folder of pictures."


def test_run_explains_predictions_and_leaves_localisation_out(folder, tmp_path, capsys):
    out = tmp_path / "out"
    with pytest.raises(SystemExit) as caught:
        main(
            [
                *("run", "--model", "squeezenet1_1", "--weights", "random", "--dataset", "photos", "--quiet"),
                *("--data-dir", str(folder), "--method", "gradcam", "--metric", "sparseness,energy_pg"),
                *("--samples", "3", "--device", "cpu", "--out", str(out)),
            ]
        )
    assert caught.value.code == 0
    assert (
        "note: left out: metric 'energy_pg/default' needs to know where the objects are and dataset 'photos' does "
        "not say; use a dataset with boxes or masks, or another metric."
    ) in capsys.readouterr().err
    (shard,) = Store(out).shards()
    assert {*shard.texts("sample_id")} == set(BRIGHTNESSES)
    from bcos_eval import load_model

    model = load_model("squeezenet1_1", weights="random")
    photos = load_dataset("photos", folder)
    predicted = {}
    with torch.no_grad():
        for sample in (photos[index] for index in range(3)):
            predicted[sample.sample_id] = int(model(model.encode(sample.image[None])).argmax())
    found = dict(zip(shard.texts("sample_id"), shard.numbers("target").tolist(), strict=True))
    assert found == predicted


def test_run_says_how_many_images_have_boxes(tmp_path, capsys):
    for name in ("a/1.png", "a/2.png", "b/1.png"):
        path = tmp_path / "data" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (64, 64), (90, 30, 200)).save(path)
    (tmp_path / "data" / "boxes.csv").write_text(
        "file,class,xmin,ymin,xmax,ymax\na/1.png,a,5,5,30,30\nb/1.png,b,1,1,9,9\n"
    )
    assert load_dataset("folder", tmp_path / "data").n_regions() == 2
    code = tmp_path / "two_classes.py"
    code.write_text(
        "from torch import nn\n\n"
        "def network():\n"
        "    return nn.Sequential(nn.Conv2d(3, 2, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten())\n"
    )
    with pytest.raises(SystemExit):
        main(
            [
                *("run", "--model", f"{code}:network", "--dataset", "folder"),
                *("--data-dir", str(tmp_path / "data"), "--method", "ixg", "--metric", "energy_pg"),
                *("--samples", "3", "--device", "cpu", "--out", str(tmp_path / "out")),
            ]
        )
    assert "2 of 3 images of 'folder' have boxes or masks." in capsys.readouterr().err
