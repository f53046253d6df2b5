from __future__ import annotations

import sys

import pytest

from bcos_eval.cli import catalogue
from bcos_eval.cli.catalogue import KINDS, OTHER_MODELS, catalogue_text, registered, source_digests


def test_the_committed_file_is_what_the_registries_say():
    committed = catalogue._FILE.read_text(encoding="utf-8")
    assert committed == catalogue_text(), "run `python -m bcos_eval.cli.catalogue`"


def test_the_file_gives_the_rows_of_the_registries():
    written = catalogue._written()
    assert written is not None
    assert written.sections == registered().sections


def test_digests_cover_every_registering_package():
    packages = {name.split("/")[0] for name in source_digests()}
    assert packages == set(catalogue._SOURCE_PACKAGES)
    assert {"bcos_eval.baselines/gradcam.py", "bcos_eval.models/weights/resnet18-shapes.json"} <= {
        *source_digests()
    }


@pytest.fixture
def without_torch(monkeypatch):
    """Lets the catalogue believe that torch is not loaded."""
    monkeypatch.delitem(sys.modules, "torch")


def test_other_sources_make_the_registries_answer(monkeypatch, without_torch):
    monkeypatch.setattr(catalogue, "registered", lambda: "the registries")
    assert catalogue.catalogue() != "the registries"
    monkeypatch.setattr(catalogue, "source_digests", lambda: {**source_digests(), "bcos_eval.metrics/new.py": "0"})
    assert catalogue.catalogue() == "the registries"


@pytest.mark.parametrize("content", [None, "", "{", "{}"])
def test_a_missing_or_damaged_file_makes_the_registries_answer(monkeypatch, without_torch, tmp_path, content):
    path = tmp_path / "catalogue.json"
    if content is not None:
        path.write_text(content)
    monkeypatch.setattr(catalogue, "_FILE", path)
    monkeypatch.setattr(catalogue, "registered", lambda: "the registries")
    assert catalogue.catalogue() == "the registries"


def test_a_shipped_file_that_is_not_its_card_s_is_not_intact(monkeypatch, tmp_path):
    card = {"from": "shipped", "dataset": "shapes", "sha256_prefix": "0" * 64}
    assert catalogue._intact("bcos_resnet18", card) is False
    assert catalogue._intact("no_such_model", card) is False
    assert catalogue._intact("bcos_resnet18", {"from": "https://…"}) is None


def test_line_ends_do_not_matter(tmp_path):
    for name, text in (("unix", b"a\nb\n"), ("windows", b"a\r\nb\r\n")):
        (tmp_path / name).write_bytes(text)
    assert catalogue._digest(tmp_path / "unix") == catalogue._digest(tmp_path / "windows")


def test_every_kind_has_names():
    sections = registered().sections
    assert tuple(sections) == (*KINDS, OTHER_MODELS)
    assert all(row["name"] for rows in sections.values() for row in rows)
