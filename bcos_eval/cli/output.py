"""Where the text of a command goes: to standard output, or to the file that `--out` names."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TypeVar

import click

from bcos_eval.errors import InputError

Form = TypeVar("Form", bound=str)

# The endings of a file in each form; the first is the usual one.
_ENDINGS: Mapping[str, Sequence[str]] = {
    "csv": (".csv",),
    "md": (".md", ".markdown"),
    "html": (".html", ".htm"),
    "latex": (".tex",),
    "json": (".json",),
}


def chosen_format(given: Form | None, out: Path | None, allowed: Sequence[Form]) -> Form:
    """Return the form of a table: the one that was given, else that of the file's ending, else the first allowed.

    Raises:
        InputError: If the ending stands for none of the forms, or for another than the one given.
    """
    if out is None:
        return given or allowed[0]
    ending = out.suffix.lower()
    meant = next((form for form in allowed if ending in _ENDINGS[form]), None)
    if meant is None and given is None:
        endings = ", ".join(_ENDINGS[form][0] for form in allowed)
        raise InputError(f"--out '{out}' has an ending that stands for no form; use {endings}, or say --format.")
    if meant is not None and given is not None and meant != given:
        raise InputError(f"--format {given} and --out '{out}' contradict each other; leave --format out.")
    return given or meant or allowed[0]


def deliver(what: str, text: str, out: Path | None) -> None:
    """Print a text, or write it to a file and print where it lies.

    Raises:
        InputError: If the folder cannot be written to.
    """
    from bcos_eval.store.atomic_write import require_writable, write_text

    if out is None:
        click.echo(text, nl=False)
        return
    require_writable(out.parent)
    write_text(out, text)
    click.echo(f"{what}: {out}")
