"""Which folders are classes and which files are images."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from bcos_eval.errors import InputError

IMAGE_SUFFIXES = frozenset(
    {".bmp", ".gif", ".jpeg", ".jpg", ".pgm", ".png", ".ppm", ".tif", ".tiff", ".webp"},
)
# What macOS, Windows and network storage put beside one's files, besides names that begin with a dot.
_SYSTEM_FOLDERS = frozenset(
    {
        "#recycle",
        "#snapshot",
        "$RECYCLE.BIN",
        "@Recently-Snapshot",
        "@Recycle",
        "@__thumb",
        "@eaDir",
        "Network Trash Folder",
        "System Volume Information",
        "Temporary Items",
        "__MACOSX",
        "lost+found",
    }
)


def require_directory(path: Path, what: str) -> Path:
    """Return the path if it is a directory.

    Raises:
        InputError: If it is missing or a file; `what` says what should lie there.
    """
    try:
        path.stat()
    except FileNotFoundError as error:
        raise InputError(f"there is no directory '{path}'; --data-dir must be {what}.") from error
    except OSError as error:  # a name too long, a loop of links, no permission
        raise InputError(
            f"cannot open '{path}' ({error.strerror or error}); --data-dir must be {what}."
        ) from error
    if not path.is_dir():
        raise InputError(f"'{path}' is not a directory; --data-dir must be {what}.")
    return path


def class_directories(root: Path) -> list[Path]:
    """Subdirectories and links to directories, sorted by name, without hidden and system folders.

    Raises:
        InputError: If the folder cannot be listed, or has a link to a folder that does not exist.
    """
    found = []
    for entry in _entries(root):
        if entry.is_dir():
            found.append(root / entry.name)
        elif _is_dangling(entry) and not _is_image(entry.name):
            raise InputError(f"'{entry.path}' is a link to something that does not exist; mend or remove it.")
    return sorted(found)


def image_files(folder: Path) -> list[str]:
    """Image files anywhere below a folder: paths relative to it (with `/`), sorted.

    Links are followed. Hidden and system folders and files are left out, and so are files whose extension is not
    in `IMAGE_SUFFIXES`. A link to an image that does not exist counts: reading it says so.

    Raises:
        InputError: If a folder cannot be listed.
    """
    return sorted(_images_below(folder, "", frozenset()))


def class_images(class_dir: Path) -> list[str]:
    """Image files of one class: paths relative to the folder above it.

    Raises:
        InputError: If there is none.
    """
    files = image_files(class_dir)
    if not files:
        raise InputError(
            f"class folder '{class_dir}' has no images ({', '.join(sorted(IMAGE_SUFFIXES))}); "
            "add some or remove the folder."
        )
    return [f"{class_dir.name}/{name}" for name in files]


def _images_below(folder: Path, prefix: str, ancestors: frozenset[tuple[int, int]]) -> Iterator[str]:
    status = folder.stat()
    identity = (status.st_dev, status.st_ino)
    if identity in ancestors:  # a link to a folder above itself
        return
    for entry in _entries(folder):
        if entry.is_dir():
            yield from _images_below(folder / entry.name, f"{prefix}{entry.name}/", ancestors | {identity})
        elif _is_image(entry.name):
            yield prefix + entry.name


def _entries(folder: Path) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as entries:
            return [
                entry for entry in entries if not entry.name.startswith(".") and entry.name not in _SYSTEM_FOLDERS
            ]
    except OSError as error:
        raise InputError(f"cannot list '{folder}' ({error.strerror or error}); change its permissions.") from error


def _is_image(name: str) -> bool:
    return os.path.splitext(name)[1].lower() in IMAGE_SUFFIXES  # noqa: PTH122 - a Path for each name is slow


def _is_dangling(entry: os.DirEntry[str]) -> bool:
    return entry.is_symlink() and not os.path.exists(entry.path)  # noqa: PTH110 - likewise
