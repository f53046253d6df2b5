from __future__ import annotations

import os

import pytest
from PIL import Image

from bcos_eval.data.listing import class_directories, image_files, require_directory
from bcos_eval.errors import InputError


def paint(path):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (8, 8), "red").save(path)


@pytest.mark.parametrize(
    "name",
    [".DS_Store", "._0.JPG", "Thumbs.db", "desktop.ini", "@eaDir/0.JPG/SYNOPHOTO_THUMB_M.jpg", "@__thumb/0.JPG"],
)
def test_files_of_the_system_are_no_images(tmp_path, name):
    paint(tmp_path / "cat" / "0.JPG")
    (tmp_path / "cat" / name).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / "cat" / name).write_bytes(b"x")
    assert image_files(tmp_path / "cat") == ["0.JPG"]


@pytest.mark.parametrize(
    "name", [".ipynb_checkpoints", "__MACOSX", "@eaDir", "#recycle", "$RECYCLE.BIN", "System Volume Information"]
)
def test_folders_of_the_system_are_no_classes(tmp_path, name):
    paint(tmp_path / "cat" / "0.png")
    paint(tmp_path / name / "0.png")
    paint(tmp_path / "cat" / name / "0.png")
    assert [path.name for path in class_directories(tmp_path)] == ["cat"]
    assert image_files(tmp_path / "cat") == ["0.png"]


def test_links_to_files_and_folders_are_followed(tmp_path):
    for name in ("0.png", "deep/1.png"):
        paint(tmp_path / "store" / name)
    tree = tmp_path / "tree"
    (tree / "a").mkdir(parents=True)
    (tree / "a" / "x.png").symlink_to(tmp_path / "store" / "0.png")
    (tree / "a" / "first").symlink_to(tmp_path / "store")
    (tree / "a" / "second").symlink_to(tmp_path / "store")
    (tree / "b").symlink_to(tmp_path / "store")
    assert [path.name for path in class_directories(tree)] == ["a", "b"]
    inside = ["0.png", "deep/1.png"]
    assert image_files(tree / "b") == inside
    expected = [f"{place}/{name}" for place in ("first", "second") for name in inside]
    assert image_files(tree / "a") == [*expected, "x.png"]


def test_loops_of_links_end(tmp_path):
    paint(tmp_path / "a" / "0.png")
    (tmp_path / "a" / "again").symlink_to(tmp_path / "a")
    assert image_files(tmp_path / "a") == ["0.png"]


def test_a_link_to_a_missing_image_is_listed_and_one_to_a_missing_class_refused(tmp_path):
    paint(tmp_path / "a" / "0.png")
    (tmp_path / "a" / "9.png").symlink_to(tmp_path / "gone.png")
    assert image_files(tmp_path / "a") == ["0.png", "9.png"]
    (tmp_path / "b").symlink_to(tmp_path / "gone")
    with pytest.raises(InputError) as caught:
        class_directories(tmp_path)
    assert str(caught.value) == (
        f"'{tmp_path / 'b'}' is a link to something that does not exist; mend or remove it."
    )


def test_a_name_too_long_is_refused_in_one_line(tmp_path):
    path = tmp_path / ("x" * 300)
    with pytest.raises(InputError) as caught:
        require_directory(path, "photographs")
    assert str(caught.value) == f"cannot open '{path}' (File name too long); --data-dir must be photographs."


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_folder_without_permission_is_refused_and_not_left_out(tmp_path):
    paint(tmp_path / "a" / "hidden" / "0.png")
    (tmp_path / "a" / "hidden").chmod(0)
    try:
        with pytest.raises(InputError, match=r"^cannot list '.*hidden' \(Permission denied\); change its perm"):
            image_files(tmp_path / "a")
    finally:
        (tmp_path / "a" / "hidden").chmod(0o700)
