"""Which image files `explain` is asked for, and which picture each goes to."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from bcos_eval.errors import InputError

# A page holds so many rows that still show something; more go to a folder, one picture each.
MAX_ON_A_SHEET = 40

_SHEET_ENDINGS = (".png", ".pdf")
# As datasets read them, see `bcos_eval.data`, which loads torch.
_IMAGE_ENDINGS = (".bmp", ".gif", ".jpeg", ".jpg", ".pgm", ".png", ".ppm", ".tif", ".tiff", ".webp")


def picture_files(given: Iterable[Path]) -> list[Path]:
    """Return the files given and those in folders given, each once; hidden ones are left out.

    Raises:
        InputError: If a path does not exist, or a folder holds no image.
    """
    found: dict[Path, None] = {}
    for path in given:
        found.update(dict.fromkeys(_files_in(path) if path.is_dir() else [_existing(path)]))
    return list(found)


def picture_places(files: Sequence[Path], out: Path) -> Mapping[Path, Sequence[Path]]:
    """Return the pictures to write, each with the files that it shows.

    Args:
        files: Image files.
        out: One sheet for all of them, or a folder for a picture of each.

    Raises:
        InputError: If the ending says neither, or a sheet cannot hold so many.
    """
    if out.is_dir() or not out.suffix:
        return {out / f"{name}.png": [file] for name, file in zip(_distinct_names(files), files, strict=True)}
    if out.suffix.lower() not in _SHEET_ENDINGS:
        raise InputError(f"--out '{out}' must end in {' or '.join(_SHEET_ENDINGS)}, or be a folder; rename it.")
    if len(files) > MAX_ON_A_SHEET:
        raise InputError(
            f"{len(files)} pictures do not fit on '{out}', a sheet holds {MAX_ON_A_SHEET}; give --out a folder."
        )
    return {out: files}


def _existing(path: Path) -> Path:
    if not path.exists():
        raise InputError(f"there is no file or folder '{path}'; give image files or folders of them.")
    return path


def _files_in(folder: Path) -> list[Path]:
    files = [
        path
        for path in sorted(folder.rglob("*"))
        if path.suffix.lower() in _IMAGE_ENDINGS
        and path.is_file()
        and not any(part.startswith(".") for part in path.relative_to(folder).parts)
    ]
    if not files:
        raise InputError(f"folder '{folder}' holds no images ({', '.join(_IMAGE_ENDINGS)}); give another.")
    return files


def _distinct_names(files: Sequence[Path]) -> Sequence[str]:
    """Return what pictures are called: as their files, with the folders' names or numbers if two were the same."""
    stems = [file.stem for file in files]
    with_folders = [f"{file.resolve().parent.name}-{file.stem}" for file in files]
    numbered = [f"{i:04d}-{stem}" for i, stem in enumerate(stems)]
    return next((names for names in (stems, with_folders) if len(set(names)) == len(files)), numbered)
