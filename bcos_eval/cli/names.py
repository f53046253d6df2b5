"""Names on the command line: in which spellings they are understood, and the refusal of those that are not.

Nothing here imports torch, so that a misspelt name is refused at once.
"""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Iterable, Iterator
from typing import Literal

from bcos_eval.errors import InputError, unknown_name

from .catalogue import Row, catalogue

Kind = Literal["model", "method", "metric", "dataset"]

_PATTERN = re.compile(r"[*?\[]")
_OWN_FILE = re.compile(r"\.py(:|$)")


def split_names(texts: Iterable[str]) -> tuple[str, ...]:
    """Return the names in options that repeat and accept commas, each once, in the order given.

    Example:
        >>> split_names(["bcos, ixg", "lime", "ixg"])
        ('bcos', 'ixg', 'lime')
    """
    return tuple(dict.fromkeys(name.strip() for text in texts for name in text.split(",") if name.strip()))


def registered_names(kind: Kind, texts: Iterable[str]) -> tuple[str, ...]:
    """Return the registered names that options stand for, each once.

    Names may be spelt as papers do (`Grad-CAM`, `IG`) and hold the wildcards of a shell (`bcos_*`); files of the
    user's own, `FILE.py:NAME`, stay as they are.

    Raises:
        InputError: If nothing is called so, with near matches.
    """
    rows = catalogue().rows(f"{kind}s")
    return tuple(dict.fromkeys(name for text in split_names(texts) for name in _names(kind, text, rows)))


def registered_name(kind: Kind, text: str) -> str:
    """Return the registered name that a text stands for, see `registered_names`.

    Raises:
        InputError: If nothing is called so, or several are.
    """
    names = list(_names(kind, text, catalogue().rows(f"{kind}s")))
    if len(names) > 1:
        raise InputError(f"{kind} '{text}' stands for {', '.join(names)}; name one of them.")
    return names[0]


def _names(kind: Kind, text: str, rows: Iterable[Row]) -> Iterator[str]:
    if _OWN_FILE.search(text):
        yield text
        return
    known = list(_known(rows))
    if text in known:
        yield text
    elif _PATTERN.search(text):
        matching = fnmatch.filter(known, text)
        if not matching:
            raise InputError(f"no {kind} is called like '{text}'; see `bcos-eval list {kind}s`.")
        yield from matching
    else:
        spellings = dict(_spellings(rows))
        if _plain(text) not in spellings:
            raise unknown_name(kind, text, known)
        yield spellings[_plain(text)]


def _known(rows: Iterable[Row]) -> Iterator[str]:
    """Yield every name, and for a metric also the plain one, which stands for the preset recommended."""
    for row in rows:
        if row.get("recommended"):
            yield row["name"].partition("/")[0]
    yield from (row["name"] for row in rows)


def _spellings(rows: Iterable[Row]) -> Iterator[tuple[str, str]]:
    """Yield what a name may be spelt like, plainly, and the name."""
    for row in rows:
        for alias in row.get("aliases", ()):
            yield _plain(alias), row["name"]
    yield from ((_plain(name), name) for name in _known(rows))


def _plain(text: str) -> str:
    """Return a name without what people spell differently.

    Example:
        >>> _plain("Grad-CAM++") == _plain("gradcam++")
        True
    """
    return re.sub(r"[\s_-]", "", text).lower()
