"""Text for consoles of any encoding."""

from __future__ import annotations

import codecs
import io
from typing import TextIO

_HANDLER = "bcos_eval.plain"
# What Python does where nobody chose otherwise: on standard output, on standard error.
_DEFAULTS = ("strict", "backslashreplace")
# What stands for the signs of tables and messages where a console has no way to show them; one character each
# where columns must stay aligned.
_PLAIN = str.maketrans(
    {
        "↑": "^",
        "↓": "v",
        "→": ">",
        "–": "-",
        "—": "-",
        "−": "-",
        "×": "x",
        "·": ".",
        "…": "...",
        "±": "+/-",
        "≥": ">=",
        "≤": "<=",
        "ö": "o",
        "ü": "u",
        "ä": "a",
        "é": "e",
    }
)


def show_whatever_the_encoding(*streams: TextIO) -> None:
    """Let streams print every text: what their encoding lacks becomes a similar sign, or a question mark."""
    codecs.register_error(_HANDLER, _plain)
    for stream in streams:
        if isinstance(stream, io.TextIOWrapper) and stream.errors in _DEFAULTS:
            stream.reconfigure(errors=_HANDLER)


def _plain(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    signs = error.object[error.start : error.end].translate(_PLAIN)
    return "".join(sign if sign.isascii() else "?" for sign in signs), error.end
