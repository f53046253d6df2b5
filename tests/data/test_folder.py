from __future__ import annotations

import pytest
import torch
from PIL import Image

from bcos_eval.data.folder import FolderDataset
from bcos_eval.errors import InputError, UnreadableImageError

SUFFIXES = ".bmp, .gif, .jpeg, .jpg, .pgm, .png, .ppm, .tif, .tiff, .webp"


def paint(path, colour=(255, 0, 0), size=(40, 30)):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, colour).save(path)


@pytest.fixture
def tree(tmp_path):
    paint(tmp_path / "zebra" / "b.png", (0, 255, 0))
    paint(tmp_path / "zebra" / "a.png", (0, 0, 255))
    paint(tmp_path / "ape" / "deep" / "er" / "c.JPG")
    paint(tmp_path / "ape" / ".hidden" / "d.png")
    paint(tmp_path / ".cache" / "e.png")
    paint(tmp_path / "ape" / ".f.png")
    (tmp_path / "ape" / "notes.txt").write_text("not an image")
    (tmp_path / "readme.md").write_text("beside the classes")
    return tmp_path


def refusal(*arguments, **options):
    with pytest.raises(InputError) as caught:
        FolderDataset(*arguments, **options)
    return str(caught.value)


def test_classes_and_images_are_in_sorted_order(tree):
    dataset = FolderDataset(tree)
    assert dataset.class_names == ("ape", "zebra")
    assert dataset.sample_ids == ("ape/deep/er/c.JPG", "zebra/a.png", "zebra/b.png")
    assert dataset.labels == (0, 1, 1)
    assert len(dataset) == 3
    assert not dataset.has_regions


def test_samples_have_one_size_and_their_label(tree):
    dataset = FolderDataset(tree, size=16)
    sample = dataset[2]
    assert sample.sample_id == "zebra/b.png"
    assert sample.label == 1
    assert sample.region is None
    assert torch.equal(sample.image, torch.tensor([0.0, 1.0, 0.0])[:, None, None].expand(3, 16, 16))
    assert FolderDataset(tree)[0].image.shape == (3, 224, 224)


def test_only_split_folders_are_entered(tmp_path):
    paint(tmp_path / "train" / "a" / "1.png")
    paint(tmp_path / "val" / "a" / "2.png")
    paint(tmp_path / "val" / "b" / "3.png")
    assert FolderDataset(tmp_path).sample_ids == ("a/2.png", "b/3.png")
    assert FolderDataset(tmp_path, split="train").sample_ids == ("a/1.png",)


def test_class_called_val_is_a_class_among_others(tmp_path):
    paint(tmp_path / "val" / "1.png")
    paint(tmp_path / "dog" / "2.png")
    assert FolderDataset(tmp_path).class_names == ("dog", "val")


def test_missing_split_is_refused(tmp_path):
    paint(tmp_path / "train" / "a" / "1.png")
    assert refusal(tmp_path) == (f"'{tmp_path}' has no folder 'val', only train; ask for one of these splits.")


def test_missing_directory_is_refused(tmp_path):
    assert refusal(tmp_path / "none") == (
        f"there is no directory '{tmp_path / 'none'}'; --data-dir must be a folder with one folder of images per "
        "class."
    )


def test_file_is_refused_as_directory(tmp_path):
    (tmp_path / "file").write_text("")
    assert refusal(tmp_path / "file") == (
        f"'{tmp_path / 'file'}' is not a directory; --data-dir must be a folder with one folder of images "
        "per class."
    )


def test_directory_without_classes_is_refused(tmp_path):
    paint(tmp_path / "1.png")
    assert refusal(tmp_path) == (
        f"'{tmp_path}' has no class folders; --data-dir must be a folder with one folder of images per class. "
        "Pictures without labels are --dataset photos."
    )


def test_empty_class_is_refused_by_name(tree):
    (tree / "lion").mkdir()
    (tree / "lion" / "notes.txt").write_text("no image")
    assert refusal(tree) == (
        f"class folder '{tree / 'lion'}' has no images ({SUFFIXES}); add some or remove the folder."
    )


def test_unreadable_image_is_refused_when_read(tree):
    (tree / "ape" / "broken.png").write_text("text")
    dataset = FolderDataset(tree, size=8)
    assert len(dataset) == 4
    with pytest.raises(UnreadableImageError) as caught:
        dataset[dataset.sample_ids.index("ape/broken.png")]
    assert str(caught.value) == (
        f"cannot read image '{tree / 'ape' / 'broken.png'}': it is not an image in one of the formats "
        "BMP, GIF, JPEG, PNG, PPM, TIFF, WEBP; "
        "replace the file or remove it from the dataset."
    )


def test_digest_follows_names_sizes_and_transform_but_not_the_place(tree, tmp_path_factory):
    digest = FolderDataset(tree, size=8).digest()
    elsewhere = tmp_path_factory.mktemp("elsewhere") / "copy"
    elsewhere.symlink_to(tree)
    assert FolderDataset(elsewhere, size=8).digest() == digest
    assert FolderDataset(tree, size=16).digest() != digest
    paint(tree / "ape" / "new.png")
    with_new = FolderDataset(tree, size=8).digest()
    assert with_new != digest
    paint(tree / "ape" / "new.png", size=(400, 300))
    assert FolderDataset(tree, size=8).digest() != with_new
