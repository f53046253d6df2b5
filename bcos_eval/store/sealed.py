"""Files that carry the digest of their own bytes, so that no changed bit goes unnoticed.

A seal is a marker followed by 64 hexadecimal digits: the SHA-256 of the whole file with zeros in place of these
digits. Each format keeps the seal where its other readers ignore it: Parquet among the footer's key-value pairs,
npz as the comment of the zip archive, JSON as a field. A sealed file can be copied, put beside others and verified
alone, which a list of digests would not allow.
"""

from __future__ import annotations

import hashlib
from typing import Literal

_MARKER = "bcos-eval-sha256:"
_N_DIGITS = hashlib.sha256().digest_size * 2
BLANK_SEAL = _MARKER + "0" * _N_DIGITS

SealState = Literal["intact", "broken", "absent"]


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
