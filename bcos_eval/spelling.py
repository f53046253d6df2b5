"""How names are written: lists of them, the spellings people use, references to files."""

from __future__ import annotations

import re
from collections.abc import Iterable

_FILE_SUFFIX = ".py"


def split_names(texts: Iterable[str]) -> tuple[str, ...]:
    """Return the names in options that repeat and accept commas, each once, in the order given.

    Example:
        >>> split_names(["bcos, ixg", "lime", "ixg"])
        ('bcos', 'ixg', 'lime')
    """
    return tuple(dict.fromkeys(name.strip() for text in texts for name in text.split(",") if name.strip()))


def plain_spelling(name: str) -> str:
    """Return a name without the marks and capitals that spellings differ in.

    Example:
        >>> plain_spelling("Guided Grad-CAM") == plain_spelling("guided_gradcam")
        True
    """
    return re.sub(r"[\s_-]", "", name).lower()


def is_reference(text: str) -> bool:
    """Whether a name given is `path/to/file.py:name`, or the beginning of it."""
    return text.endswith(_FILE_SUFFIX) or f"{_FILE_SUFFIX}:" in text
