"""Lists and tables that come with a dataset: UTF-8 text, with or without a byte-order mark."""

from __future__ import annotations

import codecs
import csv
import io
from collections.abc import Iterator
from pathlib import Path

from bcos_eval.errors import InputError

_UTF16_MARKS = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)


def read_text(path: Path, remedy: str) -> str:
    """Return the text of a file.

    Windows programs put a byte-order mark first; Excel's "Unicode text" is UTF-16. Both are understood.

    Args:
        path: The file.
        remedy: What to do if it cannot be read, without a full stop.

    Raises:
        InputError: If it cannot be read, or is in another encoding.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise InputError(f"cannot read '{path}' ({error.strerror or error}); {remedy}.") from error
    try:
        return content.decode("utf-16" if content.startswith(_UTF16_MARKS) else "utf-8-sig")
    except UnicodeDecodeError as error:
        byte = content[error.start]
        raise InputError(
            f"'{path}' is not UTF-8 text (byte {byte:#04x} at position {error.start}); save it as UTF-8."
        ) from error


def read_rows(path: Path, remedy: str) -> Iterator[tuple[int, dict[str, str]]]:
    """Yield the line number and the cells by column of every row of a CSV file with a heading.

    Columns are separated by commas, or by semicolons or tabs where the heading has no comma. Cells that a row
    lacks are empty; those beyond the heading are left out.

    Raises:
        InputError: If it cannot be read, or is no CSV.
    """
    text = read_text(path, remedy)
    heading = text.partition("\n")[0]
    delimiter = next((mark for mark in ",;\t" if mark in heading), ",")
    reader = csv.DictReader(io.StringIO(text, newline=""), delimiter=delimiter, restval="")
    reader.fieldnames = [name.strip() for name in reader.fieldnames or ()]
    try:
        for row in reader:
            yield reader.line_num, {name: row[name].strip() for name in reader.fieldnames}
    except csv.Error as error:
        raise InputError(f"'{path}', line {reader.line_num}: {error}; {remedy}.") from error
