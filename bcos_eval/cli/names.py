"""Names on the command line: in which spellings they are understood, and the refusal of those that are not.

Nothing here imports torch, so that a misspelt name is refused at once.
"""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Literal

from bcos_eval.errors import InputError, unknown_name
from bcos_eval.spelling import is_reference, plain_spelling, split_names

from .catalogue import OTHER_MODELS, Row, catalogue
from .suites import suites_of

Kind = Literal["model", "method", "metric", "dataset"]

_PATTERN = re.compile(r"[*?\[]")
# Before names that are looked up when the model is built.
_OPEN_PREFIXES = ("bcos:", "timm:")


def registered_names(kind: Kind, texts: Iterable[str]) -> tuple[str, ...]:
    """Return the registered names that options stand for, each once.

    Names may be spelt as papers do (`Grad-CAM`, `IG`), be those of suites (`all`), or hold a shell's wildcards
    (`bcos_*`); files of the user's own, `FILE.py:NAME`, stay as they are.

    Raises:
        InputError: If nothing is called so, with near matches.
    """
    rows = catalogue().rows(f"{kind}s")
    return tuple(dict.fromkeys(name for text in split_names(texts) for name in _names(kind, text, rows)))


def registered_models(texts: Iterable[str], dataset: str, note: Callable[[str], object]) -> tuple[str, ...]:
    """Return the models that options stand for, see `registered_names`.

    Of the models that a suite or wildcards stand for, those without registered weights are left out.

    Args:
        texts: The options.
        dataset: Whose weights would be loaded.
        note: Told how many are left out.

    Raises:
        InputError: If nothing is called so, or none of those called so has weights.
    """
    rows = catalogue().rows("models")
    weighted = {row["name"] for row in rows if any(weights["dataset"] == dataset for weights in row["weights"])}
    found: dict[str, None] = {}
    for text in split_names(texts):
        names = _names("model", text, rows)
        kept = [name for name in names if name in weighted] if _is_group("model", text, rows) else names
        if not kept:
            raise InputError(
                f"no model of '{text}' has weights for dataset '{dataset}'; see `bcos-eval list models`."
            )
        if len(kept) < len(names):
            note(f"note: '{text}' stands for the {len(kept)} of {len(names)} models with weights for {dataset}.")
        found.update(dict.fromkeys(kept))
    return tuple(found)


def registered_name(kind: Kind, text: str) -> str:
    """Return the registered name that a text stands for, see `registered_names`.

    Raises:
        InputError: If nothing is called so, or several are.
    """
    names = _names(kind, text, catalogue().rows(f"{kind}s"))
    if len(names) > 1:
        raise InputError(f"{kind} '{text}' stands for {', '.join(names)}; name one of them.")
    return names[0]


def registered_settings(settings: Iterable[str]) -> tuple[str, ...]:
    """Return settings `OWNER.KEY=VALUE` with the registered names of their owners, however these are spelt.

    Owners that are not registered stay: those of the user's own files, and those that will be refused.
    """
    rows = [row for kind in ("methods", "metrics") for row in catalogue().rows(kind)]
    spellings = dict(_spellings(rows))

    def registered(setting: str) -> str:
        path, equals, value = setting.partition("=")
        owner, dot, key = path.rpartition(".")
        return f"{spellings.get(plain_spelling(owner), owner)}{dot}{key}{equals}{value}"

    return tuple(map(registered, settings))


def all_names(kind: Kind) -> tuple[str, ...]:
    """Return every registered name, of metrics with and without presets."""
    return tuple(_known(catalogue().rows(f"{kind}s")))


def _is_group(kind: Kind, text: str, rows: Sequence[Row]) -> bool:
    """Whether a text stands for whatever belongs to a suite or matches, and not for something it names."""
    if is_reference(text) or text in _known(rows):
        return False
    return text in suites_of(f"{kind}s") or _PATTERN.search(text) is not None


def _names(kind: Kind, text: str, rows: Sequence[Row]) -> list[str]:
    known = list(_known(rows))
    if text in known or is_reference(text):
        return [text]
    suites = suites_of(f"{kind}s")
    if text in suites:
        return suites[text].members(rows)
    if _PATTERN.search(text):
        # Presets of metrics are meant where the pattern has their slash.
        matching = [name for name in fnmatch.filter(known, text) if ("/" in name) == ("/" in text)]
        if not matching:
            raise InputError(f"no {kind} is called like '{text}'; see `bcos-eval list {kind}s`.")
        return matching
    others = [row["name"] for row in catalogue().rows(OTHER_MODELS)] if kind == "model" else []
    if text in others or (kind == "model" and text.startswith(_OPEN_PREFIXES)):
        return [text]
    spellings = dict(_spellings(rows))
    if plain_spelling(text) not in spellings:
        raise unknown_name(kind, text, [*known, *others, *suites])
    return [spellings[plain_spelling(text)]]


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
            yield plain_spelling(alias), row["name"]
    yield from ((plain_spelling(name), name) for name in _known(rows))
