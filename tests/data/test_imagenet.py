from __future__ import annotations

import csv

import pytest
import torch
from PIL import Image
from torchvision.models import ResNet50_Weights

from bcos_eval.data.imagenet import ImageNetDataset
from bcos_eval.errors import InputError

LAYOUT = "a folder with val/<wnid>/*.JPEG, or that val folder itself"


def paint(path, size=(40, 30)):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, (255, 0, 0)).save(path)


@pytest.fixture
def root(tmp_path):
    for wnid in ("n01440764", "n01443537"):
        paint(tmp_path / "val" / wnid / f"{wnid}_1.JPEG")
    (tmp_path / "index.csv").write_text("wnid,imagenet_index\nn01443537,1\nn01440764,0\n")
    return tmp_path


def write_xml(path, objects, size=(40, 30)):
    path.parent.mkdir(parents=True, exist_ok=True)
    shape = f"<size><width>{size[0]}</width><height>{size[1]}</height></size>" if size else ""
    body = "".join(
        f"<object><name>{wnid}</name><bndbox><xmin>{box[0]}</xmin><ymin>{box[1]}</ymin><xmax>{box[2]}</xmax>"
        f"<ymax>{box[3]}</ymax></bndbox></object>"
        for wnid, box in objects
    )
    path.write_text(f"<annotation>{shape}{body}</annotation>")


def refusal(*arguments, **options):
    with pytest.raises(InputError) as caught:
        ImageNetDataset(*arguments, **options)
    return str(caught.value)


def region_from_painting(box, size=(40, 30)):
    """The box's region after torchvision's geometry, at a resize equal to the shorter side: only a crop."""
    painted = torch.zeros(size[1], size[0], dtype=torch.bool)
    painted[box[1] : box[3] + 1, box[0] : box[2] + 1] = True
    left = (size[0] - size[1]) // 2
    return painted[:, left : left + size[1]]


def test_root_and_split_folder_give_the_same_dataset(root):
    of_root, of_val = ImageNetDataset(root), ImageNetDataset(root / "val")
    assert of_root.sample_ids == of_val.sample_ids == ("n01440764/n01440764_1.JPEG", "n01443537/n01443537_1.JPEG")
    assert of_root.labels == of_val.labels == (0, 1)
    assert of_root.digest() == of_val.digest()


def test_class_numbers_come_from_the_index(root):
    (root / "index.csv").write_text("wnid,imagenet_index\nn01443537,7\nn01440764,999\n")
    assert ImageNetDataset(root).labels == (999, 7)


def test_class_numbers_come_from_kaggles_list(root):
    (root / "index.csv").unlink()
    wnids = ["n01440764", "n01443537", *(f"n{number:08d}" for number in range(2_000_000, 2_000_998))]
    (root / "LOC_synset_mapping.txt").write_text("".join(f"{wnid} some name\n" for wnid in wnids))
    assert ImageNetDataset(root).labels == (0, 1)


def test_thousand_folders_are_numbered_in_sorted_order(tmp_path):
    for number in reversed(range(1000)):
        folder = tmp_path / "val" / f"n{number:08d}"
        folder.mkdir(parents=True)
        (folder / "image.JPEG").touch()
    assert ImageNetDataset(tmp_path).labels == tuple(range(1000))


def test_class_names_are_all_of_imagenet(root):
    names = ImageNetDataset(root).class_names
    assert names == tuple(ResNet50_Weights.DEFAULT.meta["categories"])
    assert names[1] == "goldfish"


def test_images_have_the_size_asked_for(root):
    assert ImageNetDataset(root)[0].image.shape == (3, 224, 224)
    assert ImageNetDataset(root, size=64)[0].image.shape == (3, 64, 64)


def test_without_boxes_there_are_no_regions(root):
    dataset = ImageNetDataset(root, size=30, resize=30)
    assert not dataset.has_regions
    assert dataset[0].region is None


@pytest.mark.parametrize("folder", ["bbox/val", "Annotations/CLS-LOC/val", "val/bbox"])
def test_xml_boxes_become_regions(root, folder):
    objects = [("n01440764", (6, 2, 15, 11)), ("n99999999", (0, 0, 39, 29)), ("n01440764", (20, 20, 30, 29))]
    write_xml(root / folder / "n01440764_1.xml", objects)
    dataset = ImageNetDataset(root, size=30, resize=30)
    assert dataset.has_regions
    expected = region_from_painting((6, 2, 15, 11)) | region_from_painting((20, 20, 30, 29))
    assert torch.equal(dataset[0].region, expected)
    assert dataset[1].region is None


def test_xml_boxes_of_the_original_are_scaled_to_a_smaller_copy(root):
    write_xml(root / "bbox" / "n01440764_1.xml", [("n01440764", (60, 20, 159, 119))], size=(400, 300))
    dataset = ImageNetDataset(root, size=30, resize=30)
    assert torch.equal(dataset[0].region, region_from_painting((6, 2, 15, 11)))


def test_csv_boxes_become_regions(root):
    (root / "LOC_val_solution.csv").write_text(
        "ImageId,PredictionString\nn01440764_1,n01440764 6 2 15 11 n01443537 0 0 1 1 \n"
    )
    dataset = ImageNetDataset(root, size=30, resize=30)
    assert torch.equal(dataset[0].region, region_from_painting((6, 2, 15, 11)))
    assert dataset[1].region is None


def test_tables_may_begin_with_a_byte_order_mark(root):
    (root / "index.csv").write_bytes(b"\xef\xbb\xbfwnid,imagenet_index\r\nn01443537,1\r\nn01440764,0\r\n")
    table = "ImageId,PredictionString\r\nn01440764_1,n01440764 6 2 15 11\r\n"
    (root / "LOC_val_solution.csv").write_bytes(b"\xef\xbb\xbf" + table.encode())
    dataset = ImageNetDataset(root, size=30, resize=30)
    assert torch.equal(dataset[0].region, region_from_painting((6, 2, 15, 11)))


@pytest.fixture
def archive(root):
    """The images, class by class, where Kaggle's archive has them; its tables at the top."""
    images = root / "ILSVRC" / "Data" / "CLS-LOC"
    images.mkdir(parents=True)
    (root / "val").rename(images / "val")
    (root / "LOC_val_solution.csv").write_text(
        "ImageId,PredictionString\nn01440764_1,n01440764 6 2 15 11\nn01443537_1,n01443537 0 0 9 9\n"
    )
    return root


@pytest.mark.parametrize("place", ["", "ILSVRC/Data/CLS-LOC", "ILSVRC/Data/CLS-LOC/val"])
def test_kaggles_archive_is_understood_from_any_of_its_folders(archive, place):
    dataset = ImageNetDataset(archive / place, size=30, resize=30)
    assert dataset.labels == (0, 1)
    assert torch.equal(dataset[0].region, region_from_painting((6, 2, 15, 11)))


def test_kaggles_xml_files_are_found_where_the_archive_has_them(archive):
    (archive / "LOC_val_solution.csv").unlink()
    folder = archive / "ILSVRC" / "Annotations" / "CLS-LOC" / "val"
    write_xml(folder / "n01440764_1.xml", [("n01440764", (6, 2, 15, 11))])
    dataset = ImageNetDataset(archive / "ILSVRC" / "Data" / "CLS-LOC", size=30, resize=30)
    assert torch.equal(dataset[0].region, region_from_painting((6, 2, 15, 11)))


def test_unsorted_validation_images_have_the_class_of_kaggles_table(archive):
    val = archive / "ILSVRC" / "Data" / "CLS-LOC" / "val"
    for path in list(val.glob("*/*.JPEG")):
        path.rename(val / path.name)
        path.parent.rmdir()
    dataset = ImageNetDataset(archive, size=30, resize=30)
    assert dataset.sample_ids == ("n01440764_1.JPEG", "n01443537_1.JPEG")
    assert dataset.labels == (0, 1)
    assert torch.equal(dataset[0].region, region_from_painting((6, 2, 15, 11)))


def test_digest_follows_boxes_and_numbers(root):
    digests = [ImageNetDataset(root).digest()]
    (root / "index.csv").write_text("wnid,imagenet_index\nn01443537,7\nn01440764,9\n")
    digests.append(ImageNetDataset(root).digest())
    write_xml(root / "bbox" / "n01440764_1.xml", [("n01440764", (6, 2, 15, 11))])
    digests.append(ImageNetDataset(root).digest())
    write_xml(root / "bbox" / "n01440764_1.xml", [("n01440764", (6, 2, 15, 12))])
    digests.append(ImageNetDataset(root).digest())
    digests.append(ImageNetDataset(root, size=64).digest())
    assert len(set(digests)) == 5


def test_unnumbered_folders_are_refused(root):
    (root / "index.csv").unlink()
    assert refusal(root) == (
        f"'{root / 'val'}' has 2 class folders, so their ImageNet class numbers are unknown; imagenet needs one "
        "of: an index.csv with the columns wnid and imagenet_index, Kaggle's LOC_synset_mapping.txt, or all 1000 "
        "class folders. For any other tree use --dataset folder."
    )


def test_folder_missing_in_the_index_is_refused(root):
    (root / "index.csv").write_text("wnid,imagenet_index\nn01443537,1\n")
    assert refusal(root) == (
        f"'{root / 'index.csv'}' does not number 1 of the class folders, the first is 'n01440764'; add it to the "
        "file or remove the folder."
    )


@pytest.mark.parametrize(("row", "wnid", "number"), [("n01443537,1000", "n01443537", "1000"), (",5", "", "5")])
def test_bad_row_of_the_index_is_refused(root, row, wnid, number):
    (root / "index.csv").write_text(f"wnid,imagenet_index\nn01440764,0\n{row}\n")
    assert refusal(root) == (
        f"'{root / 'index.csv'}', line 3: expected the columns wnid and imagenet_index (0 to 999), got wnid "
        f"'{wnid}' and imagenet_index '{number}'; mend or remove the file."
    )


def test_incomplete_synset_list_is_refused(root):
    (root / "index.csv").unlink()
    path = root / "LOC_synset_mapping.txt"
    path.write_text("n01440764 tench\n")
    assert refusal(root) == (
        f"'{path}' has 1 lines, expected the 1000 ImageNet ids in sorted order; restore it from Kaggle or "
        "remove it."
    )


def test_directory_without_ids_is_refused(tmp_path):
    paint(tmp_path / "val" / "cat" / "1.JPEG")
    assert refusal(tmp_path) == (
        f"'{tmp_path / 'val'}' has no class folders like n01440764; --data-dir must be {LAYOUT}."
    )


def test_missing_directory_is_refused(tmp_path):
    assert refusal(tmp_path / "x") == f"there is no directory '{tmp_path / 'x'}'; --data-dir must be {LAYOUT}."


def test_folder_of_another_split_is_refused(root):
    assert refusal(root / "val", split="train") == (
        f"'{root / 'val'}' is not the split 'train'; --data-dir must be {LAYOUT}."
    )


def test_empty_class_folder_is_refused(root):
    (root / "val" / "n01443537" / "n01443537_1.JPEG").unlink()
    assert refusal(root) == (
        f"class folder '{root / 'val' / 'n01443537'}' has no images (.bmp, .gif, .jpeg, .jpg, .pgm, .png, .ppm, "
        ".tif, .tiff, .webp); add some or remove the folder."
    )


def test_box_table_without_columns_is_refused(root):
    path = root / "LOC_val_solution.csv"
    path.write_text("a,b\n1,2\n")
    assert refusal(root) == (
        f"'{path}' has no columns ImageId and PredictionString; restore the file from Kaggle or remove it to go "
        "without boxes."
    )


@pytest.mark.parametrize(
    "text",
    ["n01440764 1 2 3", "n01440764 1 2 3 x", "n01440764 1 2 3 inf", "n01440764 1 nan 3 4", "n01440764 1 2 0 4"],
)
def test_bad_row_of_the_box_table_is_refused(root, text):
    path = root / "LOC_val_solution.csv"
    path.write_text(f"ImageId,PredictionString\nn01440764_1,{text}\n")
    assert refusal(root) == (
        f"'{path}', line 2: expected groups of wnid, xmin, ymin, xmax, ymax, got '{text}'; restore the file from "
        "Kaggle or remove it to go without boxes."
    )


def test_box_folder_without_files_is_refused(root):
    (root / "bbox").mkdir()
    assert refusal(root) == (
        f"'{root / 'bbox'}' has no XML annotation files; unpack the boxes there or remove the folder to go "
        "without boxes."
    )


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("<annotation>", "no element found: line 1, column 12"),
        (
            "<annotation><object><name>n01440764</name></object></annotation>",
            "could not convert string to float: ''",
        ),
        (
            "<annotation><object><name>n01440764</name><bndbox><xmin>1</xmin><ymin>1</ymin><xmax>inf</xmax>"
            "<ymax>9</ymax></bndbox></object></annotation>",
            "a coordinate is not finite",
        ),
        (
            "<annotation><object><name>n01440764</name><bndbox><xmin>5</xmin><ymin>1</ymin><xmax>4</xmax>"
            "<ymax>9</ymax></bndbox></object></annotation>",
            "a minimum is above its maximum",
        ),
    ],
)
def test_unparseable_boxes_are_refused_when_read(root, text, reason):
    path = root / "bbox" / "n01440764_1.xml"
    path.parent.mkdir()
    path.write_text(text)
    dataset = ImageNetDataset(root)
    with pytest.raises(InputError) as caught:
        dataset[0]
    assert str(caught.value) == (f"cannot read the boxes in '{path}' ({reason}); restore or remove the file.")


@pytest.mark.data
def test_shared_photographs_have_the_numbers_and_names_of_their_index(data_dir):
    root = data_dir / "imagenet-samples"
    dataset = ImageNetDataset(root, size=32)
    with (root / "index.csv").open(encoding="utf-8", newline="") as file:
        rows = {row["file"].removeprefix("val/"): row for row in csv.DictReader(file)}
    assert set(dataset.sample_ids) == set(rows)
    for sample_id, label in zip(dataset.sample_ids, dataset.labels, strict=True):
        assert label == int(rows[sample_id]["imagenet_index"])
    assert dataset.class_names[dataset.labels[0]] == "goldfish"
    for index in range(0, 120, 10):
        assert dataset[index].image.shape == (3, 32, 32)


def test_byte_order_marks_of_windows_programs_do_not_count(root):
    (root / "index.csv").write_bytes(b"\xef\xbb\xbfwnid,imagenet_index\r\nn01443537,7\r\nn01440764,9\r\n")
    boxes = b"\xef\xbb\xbfImageId,PredictionString\r\nn01440764_1,n01440764 1 2 20 25\r\n"
    (root / "LOC_val_solution.csv").write_bytes(boxes)
    dataset = ImageNetDataset(root, size=30, resize=30)
    assert dataset.labels == (9, 7)
    assert torch.equal(dataset[0].region, region_from_painting((1, 2, 20, 25)))
