"""Listing image files, and digests of what was listed."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Mapping
from pathlib import Path

from bcos_eval.errors import InputError

IMAGE_SUFFIXES = frozenset(
    {".bmp", ".gif", ".jpeg", ".jpg", ".pgm", ".png", ".ppm", ".tif", ".tiff", ".webp"},
)


def require_directory(path: Path, what: str) -> Path:
    """Return the path if it is a directory.

    Raises:
        InputError: If it is missing or a file; `what` says what should lie there.
    """
    if not path.exists():
        raise InputError(f"there is no directory '{path}'; --data-dir must be {what}.")
    if not path.is_dir():
        raise InputError(f"'{path}' is not a directory; --data-dir must be {what}.")
    return path


def class_directories(root: Path) -> list[Path]:
    """Visible subdirectories, sorted by name."""
    return sorted(path for path in root.iterdir() if path.is_dir() and not path.name.startswith("."))


def image_files(folder: Path) -> dict[str, int]:
    """Image files anywhere below a folder: path relative to it (with `/`), sorted, and size in bytes.

    Hidden files and folders are left out, and so are files whose extension is not in `IMAGE_SUFFIXES`.
    """
    found: dict[str, int] = {}
    for directory, subdirectories, files in os.walk(folder):
        subdirectories[:] = [name for name in subdirectories if not name.startswith(".")]
        for name in files:
            path = Path(directory, name)
            if not name.startswith(".") and path.suffix.lower() in IMAGE_SUFFIXES:
                found[path.relative_to(folder).as_posix()] = path.stat().st_size
    return dict(sorted(found.items()))


def class_images(class_dir: Path) -> dict[str, int]:
    """Image files of one class: path relative to the folder above it, and size in bytes.

    Raises:
        InputError: If there is none.
    """
    files = image_files(class_dir)
    if not files:
        raise InputError(
            f"class folder '{class_dir}' has no images ({', '.join(sorted(IMAGE_SUFFIXES))}); "
            "add some or remove the folder."
        )
    return {f"{class_dir.name}/{name}": size for name, size in files.items()}


def listing_digest(settings: Mapping[str, object], rows: Iterable[tuple[object, ...]]) -> str:
    """Hex digest of settings and rows.

    Datasets give one row per sample (id, label, file size) and one per annotation file (name, content
    digest). Pixels are not read: a photograph replaced by another of exactly the same size goes unnoticed.
    """
    digest = hashlib.sha256(repr(sorted(settings.items())).encode())
    for row in rows:
        digest.update(f"\n{row!r}".encode())
    return digest.hexdigest()


def file_digest(path: Path) -> str:
    """Hex digest of a file's content."""
    return hashlib.sha256(path.read_bytes()).hexdigest()
