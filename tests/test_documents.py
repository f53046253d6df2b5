"""What README and `docs/` say: numbers as in the files, links that lead somewhere."""

from __future__ import annotations

import importlib.util
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from bcos_eval.contract import plugins

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


@pytest.mark.parametrize("kind", ["methods", "metrics", "datasets"])
def test_the_front_page_names_everything_that_is_registered(kind):
    catalogue = json.loads((ROOT / "bcos_eval/cli/catalogue.json").read_text(encoding="utf-8"))
    named = set(re.findall(r"`([^`\n]+)`", (ROOT / "README.md").read_text(encoding="utf-8")))
    assert {entry["name"].partition("/")[0] for entry in catalogue[kind]} - named == set()


LINK = re.compile(r"\]\(([^)\s]+)\)")
LINKING = [*traced.documents(), ROOT / "CONTRIBUTING.md"]


@pytest.mark.parametrize("page", LINKING, ids=lambda page: str(page.relative_to(ROOT)))
def test_relative_links_lead_to_files(page):
    links = [link.partition("#")[0] for link in LINK.findall(page.read_text(encoding="utf-8"))]
    relative = [link for link in links if link and "://" not in link]
    assert [link for link in relative if not (page.parent / link).exists()] == []


def test_the_site_has_every_page_and_every_page_exists():
    """Read without a YAML library: the navigation is the last part of the file, one page a line."""
    navigation = (ROOT / "mkdocs.yml").read_text(encoding="utf-8").partition("\nnav:\n")[2]
    named = re.findall(r"^ +- .+: (\S+\.(?:md|ipynb))$", navigation, flags=re.MULTILINE)
    assert len(named) == len(navigation.splitlines())
    pages = [page for ending in ("md", "ipynb") for page in (ROOT / "docs").glob(f"*.{ending}")]
    assert sorted(named) == sorted(page.name for page in pages)


@pytest.mark.parametrize("execute", ["false", pytest.param("true", marks=pytest.mark.slow)])
def test_the_site_builds_without_a_warning(tmp_path, execute):
    if any(importlib.util.find_spec(needed) is None for needed in ("material", "mkdocs_jupyter")):
        pytest.skip("mkdocs is not installed; pip install -e '.[docs]'")
    command = (sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", tmp_path / "site")
    environment = os.environ | {"DOCS_EXECUTE": execute}
    built = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, env=environment)
    assert built.returncode == 0, built.stderr
    assert (tmp_path / "site" / "metrics" / "index.html").exists()
    page = (tmp_path / "site" / "first_steps" / "index.html").read_text(encoding="utf-8")
    assert (' jp-OutputArea-executeResult"' in page) == (execute == "true")


def cards():
    """What is said by hand of each metric, by name: the part of `docs/metrics.md` whose heading has it."""
    text = (ROOT / "docs" / "metrics.md").read_text(encoding="utf-8")
    for heading, said in re.findall(r"^### ([^\n]+)\n(.*?)(?=^##|\Z)", text, flags=re.MULTILINE | re.DOTALL):
        for name in re.findall(r"`(\w+)`", heading):
            yield name, said


def test_every_metric_has_one_card_and_no_other_has():
    registered = {info.name for info in (metric.info for metric in plugins.metrics().values())}
    assert sorted(name for name, _ in cards()) == sorted(registered)


@pytest.mark.parametrize(("name", "said"), [*cards()], ids=[name for name, _ in cards()])
def test_a_card_says_what_is_measured_where_it_is_weak_and_what_it_is_not_for(name, said):
    by_hand = traced.BLOCK.sub("", said)
    parts = re.findall(r"^- \*\*(Measures|Weak:|Not for)\*\* (.*?)(?=^- |\Z)", by_hand, re.MULTILINE | re.DOTALL)
    assert [part for part, _ in parts] == ["Measures", "Weak:", "Not for"]
    assert min(len(sentence) for _, sentence in parts) > 40
    assert any(block[1] == "metric" and name in block[2].split() for block in traced.BLOCK.findall(said))
