"""Named arrays in sealed npz files, which are there whole or not at all."""

from __future__ import annotations

import io
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .atomic_write import write_bytes
from .sealed import BLANK_SEAL, DamagedFileError, seal_state, sealed

Arrays = dict[str, NDArray[Any]]

# What reading a file that is damaged, or no zip archive of arrays, can raise.
_DAMAGE = (
    OSError,
    ValueError,
    KeyError,
    TypeError,
    AttributeError,
    EOFError,
    MemoryError,
    RuntimeError,
    NotImplementedError,
    zipfile.BadZipFile,
    zlib.error,
)


def save_arrays(path: Path, arrays: Mapping[str, NDArray[Any]]) -> None:
    """Write arrays by name; the same arrays give the same bytes. An older file is replaced."""
    buffer = io.BytesIO()
    np.savez_compressed(buffer, allow_pickle=False, **dict(arrays))
    with zipfile.ZipFile(buffer, "a") as archive:
        archive.comment = BLANK_SEAL.encode()
    write_bytes(path, sealed(buffer.getvalue()))


def load_arrays(path: Path, *, unsealed_version: int | None = None) -> Arrays:
    """Return the arrays of a file.

    Args:
        path: The file.
        unsealed_version: The value of the array `version` in files that were written before there were seals.

    Raises:
        DamagedFileError: If the file cannot be read, was changed, or holds no arrays.
    """
    try:
        content = path.read_bytes()
        seal = seal_state(content)
        if seal == "broken":
            raise ValueError("its seal does not match")
        # Without pickles a file from elsewhere cannot run code.
        with np.load(io.BytesIO(content), allow_pickle=False) as stored:
            arrays = {name: stored[name] for name in stored.files}
        if seal == "absent" and (unsealed_version is None or int(arrays["version"]) != unsealed_version):
            raise ValueError("it has no seal")
    except _DAMAGE as error:
        raise DamagedFileError(str(error)) from error
    return arrays
