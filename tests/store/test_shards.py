from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from bcos_eval.errors import InputError
from bcos_eval.store.facts import MethodFacts, MetricFacts, ShardAddress, ShardFacts
from bcos_eval.store.shards import CURVE_SCHEMA, UNIT_COLUMNS, UNIT_SCHEMA, Store, StoredShard, StoreReadOnce

NAN = float("nan")


def shard(cell="cell", name="shard", scores=(0.25, NAN), curves=None):
    units = pd.DataFrame(
        {
            "dataset": "toy",
            "sample_id": [f"image_{i}" for i in range(len(scores))],
            "model": "toy",
            "weights": "w",
            "method": "ixg",
            "metric": "energy_pg",
            "preset": "default",
            "stimulus": [f"single/image_{i}" for i in range(len(scores))],
            "target": 1,
            "unit": 0,
            "score": scores,
            "status": "ok",
            "reason": None,
            "seconds": 0.5,
        },
        columns=list(UNIT_COLUMNS),
    )
    facts = ShardFacts(
        ShardAddress(cell, name),
        MethodFacts("ixg", (("n", 2),), is_control=True),
        MetricFacts("energy_pg", "default", "higher", (("smoothing", 3),), "shared", is_mean_over_classes=True),
        0,
        len(scores),
        {"seed": 0, "method": {"name": "ixg"}},
    )
    table = pa.Table.from_pandas(units, schema=UNIT_SCHEMA, preserve_index=False)
    if curves is not None:
        curves = pa.Table.from_pandas(curves, schema=CURVE_SCHEMA, preserve_index=False)
    return StoredShard(facts, table, (0.5,) * (len(scores) - 1) + (NAN,), curves)


def test_what_is_written_is_read_back(tmp_path):
    written = shard()
    Store(tmp_path).write(written)
    read = Store(tmp_path).read(written.facts.address)
    assert read.facts == written.facts
    pd.testing.assert_frame_equal(read.units, written.units, check_dtype=False, check_exact=True)
    assert read.chance[0] == 0.5
    assert read.chance[1] != read.chance[1]


def test_the_file_has_the_contract_columns_and_types(tmp_path):
    Store(tmp_path).write(shard())
    table = pq.read_table(tmp_path / "units" / "cell" / "shard.parquet", partitioning=None)
    assert table.schema.remove_metadata() == UNIT_SCHEMA


def test_a_missing_shard_is_not_there(tmp_path):
    store = Store(tmp_path)
    assert not store.has(ShardAddress("cell", "shard"))
    assert list(store.shards()) == []
    assert store.ignored == []


@pytest.mark.parametrize("kept", [0, 4, 100, -1])
def test_a_half_written_file_is_ignored_and_named(tmp_path, kept):
    store = Store(tmp_path)
    store.write(shard())
    path = store.units_path(ShardAddress("cell", "shard"))
    path.write_bytes(path.read_bytes()[:kept])
    assert not store.has(ShardAddress("cell", "shard"))
    assert list(store.shards()) == []
    assert set(store.ignored) == {path}


def test_a_foreign_parquet_file_is_ignored_and_named(tmp_path):
    path = tmp_path / "units" / "cell" / "other.parquet"
    path.parent.mkdir(parents=True)
    pq.write_table(pa.table({"x": [1]}), path)
    store = Store(tmp_path)
    assert list(store.shards()) == []
    assert store.ignored == [path]


def test_a_shard_under_another_name_is_ignored(tmp_path):
    store = Store(tmp_path)
    store.write(shard())
    path = store.units_path(ShardAddress("cell", "shard"))
    shutil.copy(path, path.with_name("copy.parquet"))
    assert [one.facts.address.shard for one in store.shards()] == ["shard"]
    assert store.ignored == [path.with_name("copy.parquet")]


def test_a_shard_of_another_schema_is_ignored(tmp_path):
    store = Store(tmp_path)
    store.write(shard())
    path = store.units_path(ShardAddress("cell", "shard"))
    table = pq.read_table(path, partitioning=None)
    record = json.loads(table.schema.metadata[b"bcos_eval"])
    metadata = {b"bcos_eval": json.dumps({**record, "schema": 999}).encode()}
    pq.write_table(table.replace_schema_metadata(metadata), path)
    assert not store.has(ShardAddress("cell", "shard"))


def test_a_store_read_once_reads_each_file_once(tmp_path, monkeypatch):
    Store(tmp_path).write(shard())
    Store(tmp_path).units_path(ShardAddress("cell", "broken")).write_bytes(b"garbage")
    paths = []
    read_bytes = Path.read_bytes
    monkeypatch.setattr(Path, "read_bytes", lambda path: paths.append(path) or read_bytes(path))
    store = StoreReadOnce(tmp_path)
    first, second = list(store.shards()), list(store.shards())
    assert first == second
    assert [one.facts for one in first] == [one.facts for one in Store(tmp_path).shards()]
    assert store.ignored == [store.units_path(ShardAddress("cell", "broken"))]
    assert len(paths) == 2 * 2


def test_a_temporary_file_that_a_crash_left_is_no_shard(tmp_path):
    store = Store(tmp_path)
    store.write(shard())
    (tmp_path / "units" / "cell" / ".late.parquet.17.tmp").write_bytes(b"PAR1")
    assert len(list(store.shards())) == 1
    assert store.ignored == []


def test_a_write_that_fails_leaves_nothing_behind(tmp_path, monkeypatch):
    def half(path, content):
        path.write_text("PAR1 and then the disk was full")
        raise OSError("No space left on device")

    monkeypatch.setattr(Path, "write_bytes", half)
    with pytest.raises(InputError) as caught:
        Store(tmp_path).write(shard())
    assert str(caught.value) == (
        f"cannot write '{tmp_path}/units/cell/shard.parquet': No space left on device; "
        "make room for it there, or give another folder."
    )
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


def test_curves_come_with_the_cell_they_belong_to(tmp_path):
    store = Store(tmp_path)
    curves = pd.DataFrame({"stimulus": ["a"], "target": [1], "unit": [0], "curve": [[1.0, 0.5]]})
    store.write(shard(curves=curves))
    read = store.curves([ShardAddress("cell", "shard"), ShardAddress("cell", "missing")])
    assert read["cell"].tolist() == ["cell"]
    assert list(read["curve"][0]) == [1.0, 0.5]


@pytest.mark.parametrize("content", [b"", b"garbage", "cut", "foreign"])
def test_damaged_curves_make_a_shard_unfinished_and_are_named(tmp_path, content):
    store, address = Store(tmp_path), ShardAddress("cell", "shard")
    store.write(shard(curves=pd.DataFrame({"stimulus": ["a"], "target": [1], "unit": [0], "curve": [[1.0, 0.5]]})))
    assert store.has(address)
    path = store.curves_path(address)
    if content == "foreign":
        pq.write_table(pa.table({"x": [1]}), path)
    else:
        path.write_bytes(path.read_bytes()[:-20] if content == "cut" else content)
    assert not store.has(address)
    assert store.ignored == [path]
    with pytest.raises(InputError, match=re.escape(f"'{path}' is ")):
        store.curves([address])
    # The scores are whole all the same.
    assert store.read(address) is not None


def test_curves_of_nothing_are_an_empty_table(tmp_path):
    assert list(Store(tmp_path).curves([]).columns) == ["stimulus", "target", "unit", "curve", "cell"]


def test_what_has_was_asked_of_is_not_read_again(tmp_path, monkeypatch):
    written = shard(scores=(0.25, 0.5))
    Store(tmp_path).write(written)
    store, address = Store(tmp_path), written.facts.address
    expected = Store(tmp_path).digests("cell")
    assert store.has(address)
    monkeypatch.setattr(Path, "read_bytes", lambda path: pytest.fail(f"read {path}"))
    assert store.statuses(address) == {"ok": 2}
    assert store.digests("cell") == expected


def test_statuses_are_counted_where_a_file_does_not_say(tmp_path):
    Store(tmp_path).write(shard(scores=(0.25, 0.5)))
    assert Store(tmp_path).statuses(ShardAddress("cell", "shard")) == {"ok": 2}
    assert Store(tmp_path).statuses(ShardAddress("cell", "missing")) == {}
