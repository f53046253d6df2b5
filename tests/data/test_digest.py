from __future__ import annotations

import os

import pytest
from PIL import Image

from bcos_eval.data import digest, load_dataset
from bcos_eval.data.digest import cache_folder, dataset_digest, file_digest, file_digests


@pytest.fixture
def files(tmp_path):
    paths = [tmp_path / name for name in ("a", "b")]
    for path in paths:
        path.write_bytes(path.name.encode())
    return paths


@pytest.fixture
def reads(monkeypatch):
    """Names of the files whose bytes were read."""
    names = []

    def counted(path):
        names.append(path.name)
        return file_digest(path)

    monkeypatch.setattr(digest, "file_digest", counted)
    return names


def test_files_are_read_once_until_they_change(files, reads):
    first = file_digests(files)
    assert first == [file_digest(path) for path in files]
    assert file_digests(files) == first
    assert reads == ["a", "b"]
    files[1].write_bytes(b"c")
    assert file_digests(files) == [first[0], file_digest(files[1])]
    assert reads == ["a", "b", "b"]


def test_other_bytes_of_equal_size_and_time_are_noticed(files):
    before = file_digests(files)
    status = files[0].stat()
    files[0].write_bytes(b"x")
    os.utime(files[0], ns=(status.st_atime_ns, status.st_mtime_ns))
    assert file_digests(files)[0] != before[0]


def test_a_file_that_cannot_be_read_has_a_digest_too(tmp_path):
    (tmp_path / "link").symlink_to(tmp_path / "gone")
    assert file_digests([tmp_path / "link"]) == ["unreadable"]


@pytest.mark.parametrize("damage", [b"not a database", b"SQLite format 3\0" + b"\0" * 200])
def test_a_damaged_memory_is_made_anew(files, reads, damage):
    cache_folder().mkdir(parents=True, exist_ok=True)
    (cache_folder() / "image_digests.sqlite").write_bytes(damage)
    first = file_digests(files)
    assert file_digests(files) == first
    assert reads[:2] == ["a", "b"]


def test_without_a_place_for_the_memory_everything_is_read(files, reads, tmp_path, monkeypatch):
    monkeypatch.setenv("BCOS_EVAL_CACHE", str(tmp_path / "a"))  # a file
    assert file_digests(files) == file_digests(files)
    assert reads == ["a", "b"] * 2


def test_a_dataset_s_digest_follows_the_bytes_of_its_images(tmp_path):
    path = tmp_path / "cat" / "0.bmp"
    path.parent.mkdir()
    Image.new("RGB", (8, 8), (1, 2, 3)).save(path)
    before = load_dataset("folder", tmp_path).digest()
    assert load_dataset("folder", tmp_path).digest() == before
    size = path.stat().st_size
    Image.new("RGB", (8, 8), (3, 2, 1)).save(path)
    assert path.stat().st_size == size
    assert load_dataset("folder", tmp_path).digest() != before


def test_names_that_are_no_text_have_a_digest():
    assert dataset_digest({}, [("\udcff",)]) != dataset_digest({}, [("\udcfe",)])
