from __future__ import annotations

from pathlib import Path

import pytest

from bcos_eval.cli.output import chosen_format, deliver
from bcos_eval.errors import InputError

ALLOWED = ("md", "csv", "html")


@pytest.mark.parametrize(
    ("given", "out", "form"),
    [
        (None, None, "md"),
        ("csv", None, "csv"),
        (None, "a.csv", "csv"),
        (None, "a.HTM", "html"),
        (None, "a.markdown", "md"),
        ("csv", "a.csv", "csv"),
        ("csv", "a.txt", "csv"),
    ],
)
def test_the_form_follows_the_ending(given, out, form):
    assert chosen_format(given, None if out is None else Path(out), ALLOWED) == form


def refusal(*arguments):
    with pytest.raises(InputError) as caught:
        chosen_format(*arguments)
    return str(caught.value)


def test_an_ending_that_stands_for_no_form_is_refused():
    expected = "--out 'a.tex' has an ending that stands for no form; use .md, .csv, .html, or say --format."
    assert refusal(None, Path("a.tex"), ALLOWED) == expected


def test_an_ending_that_stands_for_another_form_is_refused():
    expected = "--format md and --out 'a.csv' contradict each other; leave --format out."
    assert refusal("md", Path("a.csv"), ALLOWED) == expected


def test_text_is_printed_or_written(tmp_path, capsys):
    deliver("table", "a\n", None)
    assert capsys.readouterr().out == "a\n"
    path = tmp_path / "new" / "table.md"
    deliver("table", "a ↑\n", path)
    assert capsys.readouterr().out == f"table: {path}\n"
    assert path.read_text(encoding="utf-8") == "a ↑\n"
