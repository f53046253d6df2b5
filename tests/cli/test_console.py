from __future__ import annotations

import io

import pytest

from bcos_eval.cli.console import show_whatever_the_encoding


def printed(text, encoding, errors="strict"):
    stream = io.TextIOWrapper(io.BytesIO(), encoding=encoding, errors=errors, write_through=True)
    show_whatever_the_encoding(stream)
    stream.write(text)
    return stream.buffer.getvalue().decode(encoding)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16-le"])
def test_text_stays_as_it_is_where_it_can(encoding):
    assert printed("grid_pg ↑ 3×3 – Böhle", encoding) == "grid_pg ↑ 3×3 – Böhle"


def test_what_an_encoding_lacks_becomes_a_similar_sign():
    assert printed("grid_pg ↑ 3×3 – Böhle 犬", "ascii") == "grid_pg ^ 3x3 - Bohle ?"
    assert printed("grid_pg ↑ 3×3 – Böhle 犬", "cp1252") == "grid_pg ^ 3×3 – Böhle ?"
    assert printed("unknown ‘x’ ↓", "latin-1", "backslashreplace") == "unknown ?x? v"


def test_columns_stay_aligned():
    assert len(printed("↑↓→–×·", "ascii")) == 6


def test_an_error_handler_of_the_user_s_choice_stays():
    assert printed("↑", "ascii", "xmlcharrefreplace") == "&#8593;"


def test_streams_that_are_no_text_files_are_left_alone():
    show_whatever_the_encoding(io.StringIO())
