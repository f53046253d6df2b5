from __future__ import annotations

import pytest
import torch
from PIL import Image

from bcos_eval.data.tiny_imagenet import TINY_IMAGENET20_WNIDS, TinyImageNet20
from bcos_eval.errors import InputError, UnreadableImageError

LAYOUT = "Tiny ImageNet's folder, with words.txt, train/ and val/"
RESTORE = "restore the file from the Tiny ImageNet release."
GOLDFISH = TINY_IMAGENET20_WNIDS.index("n01443537")


@pytest.fixture
def release(tmp_path):
    """A release with one image per class and split, and a class that is not among the twenty."""
    wnids = (*TINY_IMAGENET20_WNIDS, "n99999999")
    (tmp_path / "words.txt").write_text("".join(f"{wnid}\tname of {wnid}, synonym\n" for wnid in wnids))
    (tmp_path / "val" / "images").mkdir(parents=True)
    lines = []
    for number, wnid in enumerate(wnids):
        image = Image.new("RGB", (64, 64), (number * 10, 0, 0))
        image.save(tmp_path / "val" / "images" / f"val_{number}.JPEG")
        lines.append(f"val_{number}.JPEG\t{wnid}\t1\t2\t{number + 3}\t5\n")
        (tmp_path / "train" / wnid / "images").mkdir(parents=True)
        image.save(tmp_path / "train" / wnid / "images" / f"{wnid}_0.JPEG")
        (tmp_path / "train" / wnid / f"{wnid}_boxes.txt").write_text(f"{wnid}_0.JPEG\t0\t0\t63\t63\n")
    (tmp_path / "val" / "val_annotations.txt").write_text("".join(reversed(lines)))
    return tmp_path


def refusal(root, split="val"):
    with pytest.raises(InputError) as caught:
        TinyImageNet20(root, split=split)
    return str(caught.value)


def test_release_is_cut_to_the_twenty_classes_in_file_order(release):
    dataset = TinyImageNet20(release)
    assert len(dataset) == 20
    assert dataset.labels == tuple(reversed(range(20)))
    assert dataset.sample_ids[0] == "val_19.JPEG"
    assert dataset.class_names[GOLDFISH] == "name of n01443537"
    assert dataset.has_regions


def test_boxes_are_inclusive_pixels(release):
    sample = TinyImageNet20(release)[19]
    expected = torch.zeros(64, 64, dtype=torch.bool)
    for row in range(2, 6):
        for column in range(1, 4):
            expected[row, column] = True
    assert torch.equal(sample.region, expected)
    assert sample.label == 0
    assert sample.image.shape == (3, 64, 64)


def test_training_images_come_class_by_class(release):
    dataset = TinyImageNet20(release, split="train")
    assert dataset.labels == tuple(range(20))
    assert dataset.sample_ids == tuple(f"{wnid}_0.JPEG" for wnid in TINY_IMAGENET20_WNIDS)
    assert dataset[3].region.all()


def test_digest_follows_the_boxes(release):
    digest = TinyImageNet20(release).digest()
    assert TinyImageNet20(release).digest() == digest
    assert TinyImageNet20(release, split="train").digest() != digest
    annotations = release / "val" / "val_annotations.txt"
    annotations.write_text(annotations.read_text().replace("\t5\n", "\t6\n", 1))
    assert TinyImageNet20(release).digest() != digest


def test_missing_words_are_refused(release):
    (release / "words.txt").unlink()
    assert refusal(release) == f"there is no file '{release / 'words.txt'}'; --data-dir must be {LAYOUT}."


def test_missing_directory_is_refused(tmp_path):
    assert refusal(tmp_path / "x") == f"there is no directory '{tmp_path / 'x'}'; --data-dir must be {LAYOUT}."


def test_words_without_a_class_are_refused(release):
    words = release / "words.txt"
    words.write_text(words.read_text().replace("n01443537", "n00000000"))
    assert refusal(release) == f"'{words}' has no line for n01443537; {RESTORE}"


def test_words_without_a_tab_are_refused_with_their_line(release):
    words = release / "words.txt"
    words.write_text("n02279972\tmonarch\n\nn01443537 goldfish\n")
    assert refusal(release) == (
        f"'{words}', line 3: expected wnid, names separated by tabs, got 'n01443537 goldfish'; {RESTORE}"
    )


@pytest.mark.parametrize("line", ["val_1.JPEG\tn01443537\t1\t2\t3", "val_1.JPEG\tn01443537\t1\t2\t3\tx"])
def test_unparseable_annotation_is_refused_with_its_line(release, line):
    path = release / "val" / "val_annotations.txt"
    path.write_text(f"val_0.JPEG\tn02279972\t1\t2\t3\t5\n{line}\n")
    assert refusal(release) == (
        f"'{path}', line 2: expected file, wnid, xmin, ymin, xmax, ymax separated by tabs, got '{line}'; {RESTORE}"
    )


def test_unparseable_training_box_is_refused_with_its_line(release):
    path = release / "train" / "n01443537" / "n01443537_boxes.txt"
    path.write_text("n01443537_0.JPEG 0 0 63 63\n")
    assert refusal(release, "train") == (
        f"'{path}', line 1: expected file, xmin, ymin, xmax, ymax separated by tabs, got "
        f"'n01443537_0.JPEG 0 0 63 63'; {RESTORE}"
    )


@pytest.mark.parametrize("box", ["0\t0\t64\t5", "5\t0\t4\t5", "-1\t0\t4\t5", "0\t9\t4\t5"])
def test_box_outside_the_image_is_refused(release, box):
    path = release / "val" / "val_annotations.txt"
    path.write_text(f"val_1.JPEG\tn01443537\t{box}\n")
    shown = box.replace("\t", ", ")
    assert refusal(release) == (f"'{path}', line 1: box {shown} is not inside 0 to 63 with min ≤ max; {RESTORE}")


def test_list_of_other_classes_is_refused(release):
    path = release / "val" / "val_annotations.txt"
    path.write_text("val_20.JPEG\tn99999999\t0\t0\t1\t1\n")
    assert refusal(release) == (
        f"'{path}' lists no image of the 20 classes of tiny_imagenet20; {RESTORE} For other classes use --dataset "
        "tiny_imagenet."
    )


def test_empty_training_list_is_refused(release):
    path = release / "train" / "n01443537" / "n01443537_boxes.txt"
    path.write_text("\n")
    assert refusal(release, "train") == f"'{path}' lists no image; {RESTORE}"


def test_list_that_is_not_text_is_refused(release):
    path = release / "words.txt"
    path.write_bytes(b"n01443537\t\xff\xfe\n")
    assert refusal(release) == f"'{path}' is not UTF-8 text (byte 0xff at position 10); save it as UTF-8."


def test_missing_image_is_refused_by_name(release):
    (release / "val" / "images" / "val_7.JPEG").unlink()
    assert refusal(release) == (
        f"'{release}' lacks 1 of the 20 images in its lists, the first is 'val/images/val_7.JPEG'; restore it "
        "from the Tiny ImageNet release."
    )


def test_image_of_another_size_is_unreadable(release):
    path = release / "val" / "images" / "val_19.JPEG"
    Image.new("RGB", (32, 64)).save(path)
    with pytest.raises(UnreadableImageError) as caught:
        TinyImageNet20(release)[0]
    assert str(caught.value) == (
        f"cannot read image '{path}': it has 32×64 pixels, Tiny ImageNet's images have 64×64; {RESTORE}"
    )


@pytest.mark.data
def test_shared_subset_reads_as_its_readme_says(data_dir):
    root = data_dir / "tiny-imagenet"
    assert tuple((root / "wnids.txt").read_text().split()) == TINY_IMAGENET20_WNIDS
    dataset = TinyImageNet20(root)
    assert len(dataset) == 1000
    assert [dataset.labels.count(label) for label in range(20)] == [50] * 20
    assert len(set(dataset.class_names)) == 20
    assert dataset.class_names[GOLDFISH] == "goldfish"
    areas = [dataset[index].region.double().mean().item() for index in range(0, 1000, 5)]
    assert sum(areas) / len(areas) == pytest.approx(0.45, abs=0.04)  # README: 0.45 over all 1,000


@pytest.mark.data
def test_shared_training_images_are_five_hundred_per_class(data_dir):
    dataset = TinyImageNet20(data_dir / "tiny-imagenet", split="train")
    assert [dataset.labels.count(label) for label in range(20)] == [500] * 20
    assert len(set(dataset.sample_ids)) == 10_000
