from __future__ import annotations

import pytest

from bcos_eval.cli import pictures
from bcos_eval.cli.pictures import MAX_ON_A_SHEET, picture_files, picture_places
from bcos_eval.data.listing import IMAGE_SUFFIXES
from bcos_eval.errors import InputError


@pytest.fixture
def folder(tmp_path):
    """A folder of empty files, some of them no images."""
    for name in ("b.JPG", "a.png", "notes.txt", "sub/a.png", ".hidden/c.png", ".d.png"):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.touch()
    return tmp_path


def refusal(function, *arguments):
    with pytest.raises(InputError) as caught:
        function(*arguments)
    return str(caught.value)


def test_image_files_are_those_of_datasets():
    assert set(pictures._IMAGE_ENDINGS) == IMAGE_SUFFIXES


def test_folders_stand_for_the_images_in_them_each_once(folder):
    expected = [folder / "a.png", folder / "b.JPG", folder / "sub" / "a.png"]
    assert picture_files([folder]) == expected
    assert picture_files([folder / "b.JPG", folder]) == [expected[1], expected[0], expected[2]]


def test_a_file_that_is_named_is_taken_whatever_its_ending(folder):
    assert picture_files([folder / "notes.txt"]) == [folder / "notes.txt"]


def test_what_is_not_there_is_refused(folder):
    expected = f"there is no file or folder '{folder}/x.png'; give image files or folders of them."
    assert refusal(picture_files, [folder / "x.png"]) == expected
    (folder / "empty").mkdir()
    assert refusal(picture_files, [folder / "empty"]).startswith(
        f"folder '{folder}/empty' holds no images (.bmp, "
    )


def test_a_file_is_a_sheet_of_all_and_a_folder_takes_one_each(folder):
    files = picture_files([folder])
    assert picture_places(files, folder / "sheet.PDF") == {folder / "sheet.PDF": files}
    parent = folder.name
    assert [path.name for path in picture_places(files, folder / "out")] == [
        f"{parent}-a.png",
        f"{parent}-b.png",
        "sub-a.png",
    ]
    assert [path.name for path in picture_places(files[:2], folder)] == ["a.png", "b.png"]


def test_two_pictures_never_have_the_same_place(folder):
    (folder / "a.jpg").touch()
    files = picture_files([folder])
    places = picture_places(files, folder / "out")
    assert len(places) == len(files)
    assert next(iter(places)).name == "0000-a.png"


def test_other_endings_and_crowded_sheets_are_refused(folder):
    out = folder / "sheet.txt"
    expected = f"--out '{out}' must end in .png or .pdf, or be a folder; rename it."
    assert refusal(picture_places, [folder / "a.png"], out) == expected
    files = [folder / f"{i}.png" for i in range(MAX_ON_A_SHEET + 1)]
    message = refusal(picture_places, files, folder / "sheet.png")
    assert message == f"41 pictures do not fit on '{folder}/sheet.png', a sheet holds 40; give --out a folder."
