from __future__ import annotations

import pytest
from PIL import Image

from bcos_eval.data import DATASETS, load_dataset
from bcos_eval.errors import InputError


@pytest.fixture
def no_variable(monkeypatch):
    monkeypatch.delenv("BCOS_EVAL_DATA", raising=False)


def refusal(*arguments, **options):
    with pytest.raises(InputError) as caught:
        load_dataset(*arguments, **options)
    return str(caught.value)


def paint(path):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (10, 10)).save(path)


def test_contract_names_are_registered():
    assert {"shapes", "tiny_imagenet20", "imagenet", "folder"} <= set(DATASETS)
    assert all(info.name == name and info.summary for name, info in DATASETS.items())
    assert DATASETS["shapes"].embedded
    assert not DATASETS["imagenet"].embedded


def test_unknown_dataset_gets_near_matches():
    near = "tiny_imagenet or tiny_imagenet20 or imagenette"
    assert refusal("tiny_imagenett") == f"unknown dataset 'tiny_imagenett'; did you mean {near}?"


def test_unknown_split_is_refused():
    assert refusal("shapes", split="evaluation") == "unknown split 'evaluation'; known: train, val."


def test_missing_variable_says_what_to_pass(no_variable):
    assert refusal("tiny_imagenet20") == (
        "dataset 'tiny_imagenet20' needs its files, and $BCOS_EVAL_DATA is not set; pass --data-dir: Tiny "
        "ImageNet's folder, with words.txt, train/ and val/."
    )


def test_missing_folder_under_the_variable_says_what_to_pass(monkeypatch, tmp_path):
    monkeypatch.setenv("BCOS_EVAL_DATA", str(tmp_path))
    assert refusal("folder") == (
        "dataset 'folder' needs its files, and $BCOS_EVAL_DATA/folder does not exist; pass --data-dir: a folder "
        "with one folder of images per class."
    )


def test_embedded_dataset_takes_no_directory(tmp_path):
    assert refusal("shapes", tmp_path) == (
        "dataset 'shapes' is generated and reads no files; leave --data-dir out."
    )


def test_directory_and_options_reach_the_dataset(no_variable, tmp_path):
    paint(tmp_path / "cat" / "1.png")
    assert load_dataset("folder", tmp_path, size=20)[0].image.shape == (3, 20, 20)
    assert load_dataset("folder", tmp_path, size=20, resize=30).transform.resize == 30


def test_variable_names_the_parent_of_the_folder(monkeypatch, tmp_path):
    paint(tmp_path / "folder" / "cat" / "1.png")
    monkeypatch.setenv("BCOS_EVAL_DATA", str(tmp_path))
    assert load_dataset("folder").sample_ids == ("cat/1.png",)


def test_embedded_dataset_loads_without_files(no_variable):
    pytest.importorskip("bcos_eval.data.shapes")
    dataset = load_dataset("shapes", seed=1)
    assert dataset.name == "shapes"
    assert dataset.has_regions
    assert len(dataset.labels) == len(dataset)


@pytest.mark.data
@pytest.mark.parametrize(("name", "count"), [("tiny_imagenet20", 1000), ("imagenet", 120)])
def test_shared_folders_are_found_under_other_names(monkeypatch, data_dir, name, count):
    monkeypatch.setenv("BCOS_EVAL_DATA", str(data_dir))
    dataset = load_dataset(name)
    assert dataset.name == name
    assert len(dataset) == count


def test_the_folder_that_holds_a_dataset_s_folder_will_do(tmp_path):
    from PIL import Image

    for name in ("a", "b"):
        (tmp_path / "folder" / name).mkdir(parents=True)
        Image.new("RGB", (8, 8)).save(tmp_path / "folder" / name / "1.png")
    assert load_dataset("folder", tmp_path).class_names == ("a", "b")
    assert load_dataset("folder", tmp_path / "folder").class_names == ("a", "b")
