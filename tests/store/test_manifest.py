from __future__ import annotations

import json
import multiprocessing

import pytest

from bcos_eval.errors import InputError
from bcos_eval.store.manifest import RunRecord, cell_recency, damaged_records, planned_units, read_runs


def record(*cells, **others):
    return RunRecord(asked={"seed": 0}, dataset={"name": "toy"}, weights={"m": "w"}, cells=cells, **others)


def test_runs_are_appended_and_updated_in_place(tmp_path):
    first, second = record("a", "b"), record("b")
    first.save(tmp_path, "running")
    first.save(tmp_path, "interrupted")
    second.save(tmp_path, "finished")
    assert [(run["cells"], run["outcome"]) for run in read_runs(tmp_path)] == [
        (["a", "b"], "interrupted"),
        (["b"], "finished"),
    ]
    assert cell_recency(tmp_path) == {"a": 0, "b": 1}


def test_no_manifest_means_no_runs(tmp_path):
    assert read_runs(tmp_path) == []


@pytest.mark.parametrize("text", ["", "[]", '{"runs": []}', "{"])
def test_a_file_that_is_no_manifest_is_refused(tmp_path, text):
    (tmp_path / "manifest.json").write_text(text)
    with pytest.raises(InputError) as caught:
        read_runs(tmp_path)
    assert str(caught.value) == (
        f"'{tmp_path}/manifest.json' is not a manifest of bcos-eval; move it away or give another folder."
    )


def test_a_manifest_of_another_schema_is_refused(tmp_path):
    (tmp_path / "manifest.json").write_text('{"schema": 99, "runs": []}')
    with pytest.raises(InputError) as caught:
        read_runs(tmp_path)
    assert str(caught.value) == (
        f"'{tmp_path}/manifest.json' has schema 99, this version reads 1; give another folder."
    )


def shown(root):
    return [run["cells"] for run in json.loads((root / "manifest.json").read_text())["runs"]]


def test_the_manifest_shows_the_records(tmp_path):
    for cell in "ab":
        record(cell).save(tmp_path, "finished")
    assert shown(tmp_path) == [["a"], ["b"]]


@pytest.mark.parametrize(
    "content", ["", "{}", "[1]", '{"started": 1, "cells": []}', '{"started": "x", "cells": [1]}']
)
def test_a_file_that_is_no_record_is_named_and_stops_nothing(tmp_path, content):
    record("a").save(tmp_path, "finished")
    (tmp_path / "records" / "odd.json").write_text(content)
    (tmp_path / "records" / "folder.json").mkdir()
    record("b").save(tmp_path, "finished")
    assert shown(tmp_path) == [["a"], ["b"]]
    assert damaged_records(tmp_path) == [tmp_path / "records" / name for name in ("folder.json", "odd.json")]


def test_a_damaged_record_is_restored_from_the_manifest(tmp_path):
    record("a").save(tmp_path, "finished")
    (path,) = (tmp_path / "records").iterdir()
    path.write_bytes(path.read_bytes().replace(b'"a"', b'"z"'))
    assert [run["cells"] for run in read_runs(tmp_path)] == [["a"]]
    record("b").save(tmp_path, "finished")
    assert damaged_records(tmp_path) == []


@pytest.mark.parametrize("content", ["", "{", '{"schema": 1, "runs": 3}', '{"schema": 1, "runs": [3]}'])
def test_a_damaged_manifest_is_made_anew_from_the_records(tmp_path, content):
    record("a").save(tmp_path, "finished")
    (tmp_path / "manifest.json").write_text(content)
    assert [run["cells"] for run in read_runs(tmp_path)] == [["a"]]
    record("b").save(tmp_path, "finished")
    assert shown(tmp_path) == [["a"], ["b"]]


def test_entries_of_a_manifest_without_records_are_kept(tmp_path):
    old = {"schema": 1, "runs": [{"started": "2026-01-01T00:00:00", "cells": ["a"], "outcome": "finished"}]}
    (tmp_path / "manifest.json").write_text(json.dumps(old))
    record("b").save(tmp_path, "finished")
    (tmp_path / "manifest.json").unlink()
    assert [run["cells"] for run in read_runs(tmp_path)] == [["a"], ["b"]]


def save_some(root, name):
    for number in range(5):
        one = record(f"{name}{number}")
        one.save(root, "running")
        one.save(root, "finished")


def test_four_processes_that_write_at_once_lose_no_entry(tmp_path):
    context = multiprocessing.get_context("fork")
    writers = [context.Process(target=save_some, args=(tmp_path, name)) for name in "abcd"]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    assert [writer.exitcode for writer in writers] == [0] * 4
    expected = {f"{name}{number}" for name in "abcd" for number in range(5)}
    assert {cells[0] for cells in shown(tmp_path)} == expected
    assert {run["outcome"] for run in read_runs(tmp_path)} == {"finished"}
    assert list(tmp_path.glob("**/.*")) == []


def test_the_largest_plan_of_a_cell_counts(tmp_path):
    for planned in ({"a": 90}, {"a": 180, "b": 4}, {"a": 9}):
        record(*planned, planned=planned).save(tmp_path, "finished")
    assert planned_units(tmp_path) == {"a": 180, "b": 4}
