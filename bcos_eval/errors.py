"""Errors that are the user's to mend, and the wording they share."""

from __future__ import annotations

import difflib
import traceback
from collections.abc import Iterable
from pathlib import Path

_N_NEAR_MATCHES = 3
# A line can hold so many names; longer registries have a command that lists them.
_N_LISTED = 30
_LISTED_BY_COMMAND = ("model", "method", "metric", "dataset")


class InputError(ValueError):
    """Something the user gave cannot be used; the command line prints it as one line, exit code 2."""


class UnreadableImageError(InputError):
    """An image file that cannot be decoded; runs skip it, name it and count it."""


class IncompatibleError(InputError):
    """A valid explainer or metric that this model or dataset does not support.

    Runs over several models skip the combination with a note.
    """


class Terminated(KeyboardInterrupt):
    """The system asked the process to end, as schedulers do before they kill it."""


class UnitFailedError(Exception):
    """Code that raised on a unit of a run that is to end at the first failure."""


def reason_of(error: BaseException) -> str:
    """Return what was raised, in one line, with the file and line that raised it."""
    text = " ".join(str(error).split())
    frames = traceback.extract_tb(error.__traceback__)
    place = f" ({Path(frames[-1].filename).name} line {frames[-1].lineno})" if frames else ""
    return f"{type(error).__name__}{f': {text}' if text else ''}{place}"


def unknown_name(kind: str, name: str, known: Iterable[str]) -> InputError:
    """Return the error for a name that no registry knows, with near matches or the whole list.

    Args:
        kind: What was asked for, as the user calls it: "model", "method", "metric", "dataset".
        name: The name given.
        known: All names allowed.
    """
    names = sorted(known)
    near = difflib.get_close_matches(name, names, n=_N_NEAR_MATCHES, cutoff=0.5)
    if near:
        hint = f"did you mean {' or '.join(near)}?"
    elif len(names) > _N_LISTED and kind in _LISTED_BY_COMMAND:
        hint = f"see `bcos-eval list {kind}s`."
    else:
        hint = f"known: {', '.join(names)}."
    return InputError(f"unknown {kind} '{name}'; {hint}")
