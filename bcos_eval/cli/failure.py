"""What is left of an error that nobody foresaw: one line for the user, the traceback in a file."""

from __future__ import annotations

import tempfile
import traceback
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from bcos_eval.version import __version__

from .stored import DEFAULT_OUT

LOG_NAME = "error.log"
_OUT = "--out"


def report_failure(error: BaseException, arguments: Sequence[str]) -> str:
    """Write the traceback to a log file, and return the line that says so.

    The file lies in the folder of `--out`, or of results, where there is one, else in the system's temporary
    folder; an earlier error there is kept above the new one.
    """
    reason = " ".join(f"{type(error).__name__}: {error}".split())
    for folder in (_out_folder(arguments), Path(tempfile.gettempdir())):
        path = folder / LOG_NAME
        try:
            with path.open("a", encoding="utf-8") as log:
                log.write(_entry(error, arguments))
        except OSError:
            continue
        return f"unexpected {reason}; the traceback is in '{path}', please report it."
    return f"unexpected {reason}; its traceback could not be written anywhere."


def _out_folder(arguments: Sequence[str]) -> Path:
    """Return the folder that `--out` names, or that its file lies in."""
    for given, following in zip(arguments, [*arguments[1:], ""], strict=True):
        name, equals, value = given.partition("=")
        if name == _OUT:
            place = Path(value if equals else following)
            return place if place.is_dir() else place.parent
    return DEFAULT_OUT if DEFAULT_OUT.is_dir() else Path(tempfile.gettempdir())


def _entry(error: BaseException, arguments: Sequence[str]) -> str:
    time = datetime.now(UTC).isoformat(timespec="seconds")
    command = " ".join(["bcos-eval", *arguments])
    return f"{time} bcos-eval {__version__}: {command}\n{''.join(traceback.format_exception(error))}\n"
