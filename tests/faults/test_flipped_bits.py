"""Each bit of a stored file is flipped in turn: no number changes silently, and nothing ends in a traceback."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from bcos_eval.errors import InputError
from bcos_eval.stimuli import pool
from bcos_eval.store.aggregates import AggregateAttribution, load_aggregate, save_aggregate
from bcos_eval.store.examples import ExampleIdentity, Examples, load_example_file, save_examples
from bcos_eval.store.facts import MethodFacts, MetricFacts, ShardAddress, ShardFacts
from bcos_eval.store.manifest import RECORDS_FOLDER, RunRecord, read_runs
from bcos_eval.store.shards import Store, StoredShard, curve_table, unit_table

ADDRESS = ShardAddress("cell", "shard")
METHOD = MethodFacts("lime", (("n_samples", 100),))
# A prime, so that the bits tried in the normal run lie at all places of a byte.
STEP = 61


def written_shard(root):
    rows = [
        {
            "dataset": "toy",
            "sample_id": f"s{i}",
            "model": "m",
            "weights": "w",
            "method": METHOD.label,
            "metric": "pixel_deletion",
            "preset": "default",
            "stimulus": f"single/s{i}",
            "target": i,
            "unit": 0,
            "score": i / 3,
            "status": "ok",
            "seconds": 0.5,
            "curve": [0.1 * i, 0.2],
        }
        for i in range(4)
    ]
    metric = MetricFacts("pixel_deletion", "default", "lower")
    facts = ShardFacts(ADDRESS, METHOD, metric, 0, 4, {"seed": 0})
    Store(root).write(StoredShard(facts, unit_table(rows), (0.25, 0.5, 0.25, math.nan), curve_table(rows)))


def contents(store):
    """Everything a store says of its only shard, as one text; None where it is unfinished."""
    if not store.has(ADDRESS):
        assert store.ignored
        return None
    shard = store.read(ADDRESS)
    return repr((shard.facts, shard.table.to_pylist(), shard.chance, store.curves([ADDRESS]).to_dict("list")))


def shard_case(root, place):
    written_shard(root)
    store = Store(root)
    return getattr(store, place)(ADDRESS), lambda: contents(Store(root))


def units_case(root):
    return shard_case(root, "units_path")


def curves_case(root):
    return shard_case(root, "curves_path")


def pool_case(root):
    path = root / "pool.npz"
    correct = torch.tensor([True, False, True])
    pool._write_piece(
        path, pool.Pool(torch.arange(3.0), correct, torch.rand(3), {"s1": "damaged"}, torch.arange(3))
    )
    return path, lambda: repr(pool._read_piece(path)) if pool._read_piece(path) else None


def examples_case(root):
    identity = ExampleIdentity("toy", "m", "w", "single", METHOD)
    maps = np.random.default_rng(0).normal(size=(1, 1, 4, 4))
    images = np.zeros((1, 4, 4, 3), np.uint8)
    regions = np.ones((1, 1, 4, 4), bool)
    path = save_examples(root, Examples(identity, ("s",), images, np.array([[0]]), (("cat",),), regions, maps))
    return path, lambda: refused(load_example_file, path)


def aggregate_case(root):
    path = root / "aggregate.npz"
    maps = np.random.default_rng(0).random((6, 2, 2)).astype(np.float32)
    counts, scores, ids = np.arange(6), np.linspace(1, 0, 6), np.array(list("abcdef"))
    save_aggregate(
        path,
        AggregateAttribution(
            "toy", "m", "w", METHOD, "difull", "grid", 50, counts, scores, maps, maps, ids, np.ones((2, 2), bool)
        ),
    )
    return path, lambda: refused(load_aggregate, path)


def manifest_case(root):
    RunRecord({"seed": 0}, {"name": "toy"}, {"m": "w"}, ["cell"], planned={"cell": 4}).save(root, "finished")
    return root / "manifest.json", lambda: repr(read_runs(root))


def record_case(root):
    reader = manifest_case(root)[1]
    return next((root / RECORDS_FOLDER).iterdir()), reader


def refused(load, path):
    """What a file holds, as a text; None where it is refused in one line that names it."""
    try:
        return repr(load(path))
    except InputError as error:
        message = str(error)
    assert str(path) in message
    assert "\n" not in message
    return None


CASES = {
    "units": units_case,
    "curves": curves_case,
    "pool": pool_case,
    "examples": examples_case,
    "aggregate": aggregate_case,
    "manifest": manifest_case,
    "record": record_case,
}


def attack(case, root, bits):
    path, reader = CASES[case](root)
    content, expected = path.read_bytes(), reader()
    assert expected is not None
    silent = []
    for bit in bits(8 * len(content)):
        changed = bytearray(content)
        changed[bit // 8] ^= 1 << bit % 8
        path.write_bytes(changed)
        if reader() not in (None, expected):
            silent.append(bit)
    assert silent == []
    path.write_bytes(content)
    assert reader() == expected


@pytest.mark.parametrize("case", CASES)
def test_some_flipped_bits_are_noticed(tmp_path, case):
    attack(case, tmp_path, lambda n: range(0, n, STEP))


@pytest.mark.slow
@pytest.mark.parametrize("case", CASES)
def test_every_flipped_bit_is_noticed(tmp_path, case):
    attack(case, tmp_path, range)


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("kept", [0, 1, 4, 100, -1])
def test_a_file_that_is_cut_short_is_noticed(tmp_path, case, kept):
    path, reader = CASES[case](tmp_path)
    expected = reader()
    path.write_bytes(path.read_bytes()[:kept])
    assert reader() in (None, expected if case in ("manifest", "record") else None)


@pytest.mark.parametrize("case", CASES)
def test_a_folder_in_the_place_of_a_file_is_noticed(tmp_path, case):
    path, reader = CASES[case](tmp_path)
    expected = reader()
    path.unlink()
    path.mkdir()
    assert reader() in (None, expected if case in ("manifest", "record") else None)
