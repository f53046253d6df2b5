"""Files that carry the digest of their own bytes, so that no changed bit goes unnoticed.

A seal is a marker followed by 64 hexadecimal digits: the SHA-256 of the whole file with zeros in place of these
digits. Each format keeps the seal where its other readers ignore it: Parquet among the footer's key-value pairs,
npz as the comment of the zip archive, JSON as a field. A sealed file can be copied, put beside others and verified
alone, which a list of digests would not allow.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

_MARKER = "bcos-eval-sha256:"
_N_DIGITS = hashlib.sha256().digest_size * 2
BLANK_SEAL = _MARKER + "0" * _N_DIGITS

_FIELD = "seal"

SealState = Literal["intact", "broken", "absent"]


class DamagedFileError(ValueError):
    """A file whose bytes are not those that were written, or that never was of the kind expected."""


def sealed(content: bytes) -> bytes:
    """Return a file's content with its last `BLANK_SEAL` filled in.

    Raises:
        ValueError: If there is none.

    Example:
        >>> seal_state(sealed(b"numbers, " + BLANK_SEAL.encode()))
        'intact'
    """
    start = content.rfind(BLANK_SEAL.encode())
    if start < 0:
        raise ValueError("the content holds no blank seal; write BLANK_SEAL where the format keeps remarks.")
    digits = start + len(_MARKER)
    return content[:digits] + hashlib.sha256(content).hexdigest().encode() + content[digits + _N_DIGITS :]


def seal_state(content: bytes) -> SealState:
    """Return whether a file's bytes are what was sealed; "absent" for files that carry no seal."""
    start = content.rfind(_MARKER.encode())
    if start < 0:
        return "absent"
    digits = start + len(_MARKER)
    stated = content[digits : digits + _N_DIGITS]
    blank = content[:digits] + b"0" * _N_DIGITS + content[digits + _N_DIGITS :]
    return "intact" if hashlib.sha256(blank).hexdigest().encode() == stated else "broken"


def content_digest(content: bytes) -> str:
    """Return the digest that a file is sealed with, that of the whole content for files without a seal."""
    start = content.rfind(_MARKER.encode())
    if start < 0:
        return hashlib.sha256(content).hexdigest()
    digits = start + len(_MARKER)
    return content[digits : digits + _N_DIGITS].decode("ascii", "replace")


def sealed_json(content: Mapping[str, Any]) -> bytes:
    """Return values as a sealed JSON file."""
    return sealed((json.dumps({**content, _FIELD: BLANK_SEAL}, indent=1, allow_nan=False) + "\n").encode())


def read_sealed_json(path: Path, *, unsealed: bool = False) -> dict[str, Any]:
    """Return the values of a JSON file.

    Args:
        path: The file.
        unsealed: Whether a file that was written before there were seals will do.

    Raises:
        FileNotFoundError: If there is none.
        DamagedFileError: If it cannot be read, was changed, or holds no JSON object.
    """
    try:
        content = path.read_bytes()
        values = json.loads(content)
    except FileNotFoundError:
        raise
    except (OSError, ValueError, RecursionError) as error:
        raise DamagedFileError(str(error)) from error
    if not isinstance(values, dict):
        raise DamagedFileError("it holds no JSON object")
    state = seal_state(content)
    if state != "intact" and not (unsealed and state == "absent" and _FIELD not in values):
        raise DamagedFileError("its seal does not match")
    values.pop(_FIELD, None)
    return values
