from __future__ import annotations

import pytest

from bcos_eval.errors import InputError
from bcos_eval.store.manifest import RunRecord, cell_recency, read_runs


def record(*cells):
    return RunRecord(asked={"seed": 0}, dataset={"name": "toy"}, weights={"m": "w"}, cells=cells)


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
