"""What README and `docs/` say: numbers as in the files, links that lead somewhere."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


def load():
    spec = importlib.util.spec_from_file_location("traced", ROOT / "docs" / "traced.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


traced = load()
PAGES = pytest.mark.parametrize("page", traced.documents(), ids=lambda page: str(page.relative_to(ROOT)))


@PAGES
def test_generated_blocks_are_what_their_files_say(page):
    """`make docs-blocks` writes them anew."""
    text = page.read_text(encoding="utf-8")
    assert traced.written(text) == text


@PAGES
def test_numbers_are_those_of_the_files_that_they_name(page):
    assert list(traced.wrong_numbers(page.read_text(encoding="utf-8"))) == []


@PAGES
def test_no_result_stands_without_its_file(page):
    assert traced.untraced_results(page.read_text(encoding="utf-8")) == []


@pytest.fixture
def table(tmp_path, monkeypatch):
    (tmp_path / "t.csv").write_text("model,method,mean,ci_low\na,x,0.66949,0.5\na,y,0.25,0.125\n")
    (tmp_path / "t.json").write_text('{"top1": 0.98765, "runs": [{"seconds": [3.0, 1.0, 2202.4]}]}')
    monkeypatch.setattr(traced, "ROOT", tmp_path)


@pytest.mark.parametrize(
    "text",
    [
        "It is 0.669<!-- = t.csv model=a method=x: mean -->.",
        "It is .67 [0.500<!-- = t.csv model=a method=x: mean ci_low -->, …]",
        "98.8 %<!-- = t.json: top1 --> in 3 s<!-- = t.json: runs.0.seconds -->",
    ],
)
def test_a_rounded_number_is_right(table, text):
    assert list(traced.wrong_numbers(text)) == []
    assert traced.untraced_results(text) == []


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("0.670<!-- = t.csv model=a method=x: mean -->", "0.670 is 0.66949 in t.csv, mean"),
        ("0.669<!-- = t.csv model=a: mean -->", "2 rows fit"),
        ("0.669<!-- = t.csv model=a method=z: mean -->", "0 rows fit"),
        ("0.669<!-- = u.csv model=a: mean -->", "No such file"),
        ("99 %<!-- = t.json: top2 -->", "'top2'"),
        ("98.7 %<!-- = t.json: top1 -->", "98.7 % is 0.98765 in t.json, top1"),
    ],
)
def test_a_wrong_number_or_address_is_told(table, text, problem):
    told = list(traced.wrong_numbers(text))
    assert len(told) == 1
    assert problem in told[0]


def test_results_without_a_file_are_found_and_may_say_why():
    text = "0.123 and 0.669<!-- = t.csv model=a: mean -->, 64.6 %.\n\n0.5 of 0.875 <!-- not stored: by hand -->"
    assert traced.untraced_results(text) == ["0.123", "64.6 %"]
