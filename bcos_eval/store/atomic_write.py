"""Files that are there whole or not at all, whoever else writes to the same folder."""

from __future__ import annotations

import os
import re
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from bcos_eval.errors import InputError

from .process import is_gone, this_process

# Of two letters or more, since drives of Windows have one; a path has lost one of the two strokes.
_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+:/")
# Readers skip names with this suffix: a crash can leave one behind.
TEMPORARY_SUFFIX = ".tmp"
# No file takes so long to write: what is older was left by a process that died, on whatever machine.
DAY_IN_SECONDS = 24 * 60 * 60


@contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """Yield a temporary path to write to; it becomes `path` when the block ends well and vanishes otherwise.

    The content reaches the disk before the name does, so a power cut leaves no empty file under the final name.

    Raises:
        InputError: If the file cannot be written: no space, no permission, a folder of that name.
    """
    temporary = path.with_name(_temporary_name())
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield temporary
        _flush_to_disk(temporary)
        temporary.replace(path)
        _flush_to_disk(path.parent)
    except OSError as error:
        raise unwritable(path, error) from error
    finally:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)


def write_bytes(path: Path, content: bytes) -> None:
    """Write a file whole or not at all.

    Raises:
        InputError: If it cannot be written.
    """
    with atomic_path(path) as temporary:
        temporary.write_bytes(content)


def write_text(path: Path, text: str) -> None:
    """Write a text file (UTF-8) whole or not at all.

    Raises:
        InputError: If it cannot be written.
    """
    write_bytes(path, text.encode())


def unwritable(path: Path, error: OSError) -> InputError:
    """Return the error for a file that cannot be written."""
    reason = error.strerror or str(error) or type(error).__name__
    return InputError(f"cannot write '{path}': {reason}; make room for it there, or give another folder.")


def require_writable(folder: Path) -> None:
    """Create the folder and prove that files can be written there.

    Raises:
        InputError: If they cannot, before anything has been computed; if it is a URL.
    """
    if _URL.match(str(folder)):
        raise InputError(
            f"--out '{folder}' is a URL and results go to a folder; mount it, or copy the folder later."
        )
    probe = folder / _temporary_name()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe.touch()
        probe.unlink()
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise InputError(
            f"cannot write to --out '{folder}': {reason}; give a folder that you may write to."
        ) from error


def remove_leftovers(folder: Path) -> list[Path]:
    """Delete temporary files that died with their processes, and return them.

    A process of this machine is dead if its number is not in use; files of other machines are left for a day.
    """
    removed = []
    for place, _, names in os.walk(folder):
        for name in names:
            path = Path(place, name)
            if name.endswith(TEMPORARY_SUFFIX) and name.startswith(".") and _is_left_over(path):
                with suppress(OSError):
                    path.unlink()
                    removed.append(path)
    return removed


def _temporary_name() -> str:
    """A name of its own among all machines, containers, processes and threads; short, since names have a limit."""
    return f".{this_process()}-{uuid.uuid4().hex}{TEMPORARY_SUFFIX}"


def _is_left_over(path: Path) -> bool:
    machine, _, rest = path.name.removeprefix(".").partition("-")
    gone = is_gone(f"{machine}-{rest.partition('-')[0]}")
    if gone is not None:
        return gone
    with suppress(OSError):
        return time.time() - path.stat().st_mtime > DAY_IN_SECONDS
    return False


def _flush_to_disk(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
