from __future__ import annotations

import pytest

from bcos_eval.data.text_file import read_rows, read_text
from bcos_eval.errors import InputError

TEXT = "file,class\nä.png,cat\n"


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_text_is_the_same_with_and_without_a_mark(tmp_path, encoding):
    path = tmp_path / "a.csv"
    path.write_bytes(TEXT.encode(encoding))
    assert read_text(path, "mend it") == TEXT


def test_another_encoding_is_refused_with_the_byte(tmp_path):
    path = tmp_path / "a.csv"
    path.write_bytes(TEXT.encode("cp1252"))
    with pytest.raises(InputError) as caught:
        read_text(path, "mend it")
    assert str(caught.value) == f"'{path}' is not UTF-8 text (byte 0xe4 at position 11); save it as UTF-8."


def test_an_absent_file_is_refused_with_the_remedy(tmp_path):
    path = tmp_path / "a.csv"
    with pytest.raises(InputError) as caught:
        read_text(path, "mend it")
    assert str(caught.value) == f"cannot read '{path}' (No such file or directory); mend it."


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
def test_rows_have_their_line_and_their_cells_by_column(tmp_path, delimiter):
    path = tmp_path / "a.csv"
    path.write_text(f"a{delimiter} b\r\n1{delimiter}2{delimiter}3\r\n4\r\n")
    assert list(read_rows(path, "mend it")) == [(2, {"a": "1", "b": "2"}), (3, {"a": "4", "b": ""})]


def test_an_empty_file_has_no_rows(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text("")
    assert list(read_rows(path, "mend it")) == []
