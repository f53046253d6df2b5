"""Digests of what a dataset holds: every byte of its images, its labels and its annotations.

Reading all images takes a minute for ImageNet's 50,000; so the digest of a file is remembered in the user's cache
until the file's size, times or inode change.
"""

from __future__ import annotations

import hashlib
import os
import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from contextlib import closing
from pathlib import Path

CACHE_VARIABLE = "BCOS_EVAL_CACHE"
_CACHE_FILE = "image_digests.sqlite"
_TABLE = """
    CREATE TABLE IF NOT EXISTS digests
    (path TEXT PRIMARY KEY, size INTEGER, modified INTEGER, changed INTEGER, inode TEXT, sha256 TEXT)
"""
# How long to wait, in seconds, while another process writes.
_PATIENCE_S = 10
# Stands for a file that cannot be read, such as a link to nothing.
_UNREADABLE = "unreadable"

_Key = tuple[int, int, int, str]


def dataset_digest(settings: Mapping[str, object], rows: Iterable[tuple[object, ...]]) -> str:
    """Return the hex digest of settings and rows: one row per sample (id, label, digest of its file), and one per
    annotation file (name, digest).
    """  # noqa: D205 - one sentence
    digest = hashlib.sha256(repr(sorted(settings.items())).encode())
    for row in rows:
        digest.update(f"\n{row!r}".encode(errors="surrogateescape"))
    return digest.hexdigest()


def file_digest(path: Path) -> str:
    """Return the hex digest of a file's content; "unreadable" where it cannot be read."""
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError:
        return _UNREADABLE


def file_digests(paths: Sequence[Path]) -> list[str]:
    """Return `file_digest` of every file, remembered from earlier calls where a file has not changed.

    Known by its absolute path, a file counts as unchanged while size, modification time, change time and inode are
    the same. The memory lies in `$BCOS_EVAL_CACHE`, by default in the user's cache folder; without a place to
    write, everything is read.
    """
    try:
        with closing(_open_memory()) as memory:
            return _remembered(memory, paths)
    except (OSError, sqlite3.Error):
        return [file_digest(path) for path in paths]


def _remembered(memory: sqlite3.Connection, paths: Sequence[Path]) -> list[str]:
    digests, learned = [], []
    for path in paths:
        name = os.path.abspath(path)  # noqa: PTH100 - Path.absolute keeps `..`
        key = _state(path)
        found = memory.execute(
            "SELECT size, modified, changed, inode, sha256 FROM digests WHERE path = ?", (name,)
        )
        row = found.fetchone()
        if key is not None and row is not None and row[:-1] == key:
            digests.append(str(row[-1]))
            continue
        digests.append(file_digest(path))
        if key is not None and key == _state(path):  # not while somebody writes it
            learned.append((name, *key, digests[-1]))
    if learned:
        with memory:
            memory.executemany("INSERT OR REPLACE INTO digests VALUES (?, ?, ?, ?, ?, ?)", learned)
    return digests


def _state(path: Path) -> _Key | None:
    try:
        status = path.stat()
    except OSError:
        return None
    # As text: inodes of some file systems do not fit into SQLite's integers.
    return status.st_size, status.st_mtime_ns, status.st_ctime_ns, str(status.st_ino)


def _open_memory() -> sqlite3.Connection:
    path = cache_folder() / _CACHE_FILE
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        return _connect(path)
    except sqlite3.DatabaseError as error:
        if isinstance(error, sqlite3.OperationalError):  # locked, or not ours to write
            raise
        path.unlink()  # damaged: it holds nothing that cannot be computed again
        return _connect(path)


def _connect(path: Path) -> sqlite3.Connection:
    memory = sqlite3.connect(path, timeout=_PATIENCE_S)
    try:
        with memory:
            memory.execute(_TABLE)
    except sqlite3.Error:
        memory.close()
        raise
    return memory


def cache_folder() -> Path:
    """Return the folder of what can be computed again: `$BCOS_EVAL_CACHE`, else the user's cache folder."""
    if chosen := os.environ.get(CACHE_VARIABLE):
        return Path(chosen).expanduser()
    base = os.environ.get("LOCALAPPDATA") or os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "bcos-eval"
