from __future__ import annotations

import json

import pytest
import torch
from PIL import Image, ImageDraw, ImageOps

from bcos_eval.data.boxes import Boxes, boxes_as_shown
from bcos_eval.data.folder import FolderDataset
from bcos_eval.data.image_file import Photograph, read_photograph
from bcos_eval.errors import InputError, UnreadableImageError

BOX = (40, 30, 119, 79)  # on the stored pixels


def photograph_file(path, orientation, *, size=(300, 240), **options):
    """A black picture with a white box on its stored pixels."""
    path.parent.mkdir(parents=True, exist_ok=True)
    image = Image.new("RGB", size, "black")
    ImageDraw.Draw(image).rectangle(BOX, fill="white")
    exif = Image.Exif()
    exif[0x0112] = orientation
    image.save(path, exif=exif.tobytes(), **options)


def overlap(sample):
    """Intersection over union of the white pixels and the region."""
    white = sample.image.mean(0) > 0.5
    return float((white & sample.region).sum() / (white | sample.region).sum())


def table_of(folder, name="o.png", box=BOX):
    (folder / "boxes.csv").write_text(f"file,class,xmin,ymin,xmax,ymax\n{name},cat,{','.join(map(str, box))}\n")


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".webp", ".tif"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_boxes_on_stored_pixels_lie_on_the_object_in_every_orientation(tmp_path, orientation, suffix):
    options = {".jpg": {"quality": 95}, ".webp": {"lossless": True}}.get(suffix, {})
    photograph_file(tmp_path / "cat" / f"o{suffix}", orientation, **options)
    table_of(tmp_path, f"o{suffix}")
    assert overlap(FolderDataset(tmp_path)[0]) > 0.95


@pytest.mark.parametrize("orientation", range(1, 9))
def test_every_orientation_is_shown_as_pillow_shows_it(tmp_path, orientation):
    path = tmp_path / "o.png"
    photograph_file(path, orientation, size=(30, 24))
    found = read_photograph(path)
    assert found.orientation == orientation
    assert found.stored_size == (30, 24)
    with Image.open(path) as image:
        assert found.image.tobytes() == ImageOps.exif_transpose(image).convert("RGB").tobytes()


@pytest.mark.parametrize("orientation", [5, 6, 7, 8])
def test_boxes_of_a_stated_upright_size_are_upright(orientation):
    upright = Photograph(Image.new("RGB", (240, 300)), orientation)
    assert boxes_as_shown(Boxes((BOX,), (240, 300)), upright) == [BOX]
    assert boxes_as_shown(Boxes((BOX,), (480, 600)), upright) == [(20.0, 15.0, 59.0, 39.0)]
    assert boxes_as_shown(Boxes((BOX,), (300, 240)), upright) != [BOX]


@pytest.mark.parametrize("orientation", range(1, 9))
def test_masks_on_stored_pixels_lie_on_the_object_in_every_orientation(tmp_path, orientation):
    photograph_file(tmp_path / "cat" / "o.jpg", orientation, quality=95)
    mask = Image.new("L", (300, 240))
    ImageDraw.Draw(mask).rectangle(BOX, fill=255)
    (tmp_path / "masks" / "cat").mkdir(parents=True)
    mask.save(tmp_path / "masks" / "cat" / "o.png")
    dataset = FolderDataset(tmp_path)
    assert dataset.class_names == ("cat",)
    assert dataset.has_regions
    assert overlap(dataset[0]) > 0.95
    digest = dataset.digest()
    mask.putpixel((0, 0), 255)
    mask.save(tmp_path / "masks" / "cat" / "o.png")
    assert FolderDataset(tmp_path).digest() != digest


def test_a_mask_of_another_size_is_refused_with_both_sizes(tmp_path):
    photograph_file(tmp_path / "cat" / "o.png", 1)
    (tmp_path / "masks" / "cat").mkdir(parents=True)
    mask = tmp_path / "masks" / "cat" / "o.png"
    Image.new("L", (10, 20)).save(mask)
    with pytest.raises(UnreadableImageError) as caught:
        FolderDataset(tmp_path)[0]
    assert str(caught.value) == f"mask '{mask}' has 10×20 pixels and its image 300×240; make them equal."


def test_coco_boxes_of_the_class_become_a_region_and_crowds_do_not(tmp_path):
    photograph_file(tmp_path / "cat" / "o.png", 1)
    x, y, right, bottom = BOX
    content = {
        "images": [{"id": 7, "file_name": "cat/o.png", "width": 300, "height": 240}],
        "categories": [{"id": 1, "name": "cat"}, {"id": 2, "name": "dog"}],
        "annotations": [
            {"image_id": 7, "category_id": 1, "bbox": [x, y, right - x + 1, bottom - y + 1], "iscrowd": 0},
            {"image_id": 7, "category_id": 1, "bbox": [200, 100, 90, 90], "iscrowd": 1},
            {"image_id": 7, "category_id": 2, "bbox": [0, 0, 10, 10]},
        ],
    }
    (tmp_path / "annotations.json").write_text(json.dumps(content))
    assert overlap(FolderDataset(tmp_path)[0]) > 0.95


def test_voc_boxes_count_from_one_and_difficult_objects_are_left_out(tmp_path):
    photograph_file(tmp_path / "cat" / "o.png", 1)
    objects = [(BOX, 0), ((200, 100, 290, 190), 1)]
    tags = ("xmin", "ymin", "xmax", "ymax")
    text = "".join(
        f"<object><name>cat</name><difficult>{difficult}</difficult><bndbox>"
        + "".join(f"<{tag}>{end + 1}</{tag}>" for tag, end in zip(tags, box, strict=True))
        + "</bndbox></object>"
        for box, difficult in objects
    )
    (tmp_path / "Annotations").mkdir()
    (tmp_path / "Annotations" / "o.xml").write_text(f"<annotation>{text}</annotation>")
    dataset = FolderDataset(tmp_path)
    assert dataset.class_names == ("cat",)
    table_of(tmp_path)
    assert torch.equal(dataset[0].region, FolderDataset(tmp_path)[0].region)


def test_images_of_one_name_in_two_classes_keep_their_own_boxes(tmp_path):
    for name in ("cat", "dog"):
        photograph_file(tmp_path / name / "o.png", 1)
    (tmp_path / "boxes.csv").write_text(
        "file,class,xmin,ymin,xmax,ymax\ncat/o.png,cat,0,0,9,9\ndog/o.png,dog,40,30,119,79\n"
    )
    first, second = FolderDataset(tmp_path, size=240, resize=240)
    assert int(first.region.sum()) == 0  # outside the central crop
    assert overlap(second) == 1


@pytest.mark.parametrize(
    ("cells", "reason"),
    [
        ("inf,1,2,3", "a coordinate is not finite"),
        ("1,nan,2,3", "a coordinate is not finite"),
        ("9,1,2,3", "a minimum is above its maximum"),
        ("a,1,2,3", "could not convert string to float: 'a'"),
    ],
)
def test_boxes_without_an_end_are_refused_with_their_line(tmp_path, cells, reason):
    photograph_file(tmp_path / "cat" / "o.png", 1)
    path = tmp_path / "boxes.csv"
    path.write_text(f"file,class,xmin,ymin,xmax,ymax\no.png,cat,{cells}\n")
    with pytest.raises(InputError) as caught:
        FolderDataset(tmp_path)
    assert str(caught.value) == (
        f"'{path}', line 2: xmin, ymin, xmax, ymax are {cells.replace(',', ', ')} ({reason}); mend it or remove "
        "it to go without boxes."
    )


@pytest.mark.parametrize("text", ["{}", "[]", "x", '{"images": [], "categories": [{"id": 1}], "annotations": []}'])
def test_json_of_another_shape_is_refused(tmp_path, text):
    photograph_file(tmp_path / "cat" / "o.png", 1)
    path = tmp_path / "annotations.json"
    path.write_text(text)
    with pytest.raises(InputError) as caught:
        FolderDataset(tmp_path)
    assert str(caught.value).startswith(f"cannot read the boxes in '{path}' (")
    assert str(caught.value).endswith(
        "); it must be COCO's JSON with images, annotations and categories: mend it or remove it to go without "
        "boxes."
    )


def test_a_table_without_a_column_is_refused(tmp_path):
    photograph_file(tmp_path / "cat" / "o.png", 1)
    (tmp_path / "boxes.csv").write_text("file,xmin\no.png,1\n")
    with pytest.raises(InputError) as caught:
        FolderDataset(tmp_path)
    assert str(caught.value) == (
        f"'{tmp_path / 'boxes.csv'}' has no column class; the columns must be file, class, xmin, ymin, xmax, "
        "ymax; mend it or remove it to go without boxes."
    )
