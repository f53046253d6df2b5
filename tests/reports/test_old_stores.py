"""Stores of schema 1, written here as that version wrote them, are read by tables, figures and comparisons."""

from __future__ import annotations

import csv
import io
import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from bcos_eval.cli.main import main
from bcos_eval.reports.figures.figures import draw
from bcos_eval.reports.results import Results
from bcos_eval.store.shards import Store

COLUMNS = (
    *((name, pa.string()) for name in ("dataset", "sample_id", "model", "weights", "method", "metric", "preset")),
    ("stimulus", pa.string()),
    ("target", pa.int64()),
    ("unit", pa.int64()),
    ("score", pa.float64()),
    ("status", pa.string()),
    ("seconds", pa.float64()),
)
CURVE_COLUMNS = (
    ("stimulus", pa.string()),
    ("target", pa.int64()),
    ("unit", pa.int64()),
    ("curve", pa.list_(pa.float64())),
)
N = 12
METHODS = {"bcos": {"precision": "float32"}, "lime(n_samples=100)": {"n_samples": 100}, "random": {}}
METRICS = {"grid_pg/bcos_v2(n=2)": {"n": 2, "pool": "bcos_v2"}, "pixel_perturbation/bcos_v1": {}}


def write_shard(root, method, metric, *, curves):
    name, preset = metric.split("/")
    cell = f"toy-net-{method.partition('(')[0]}-{name}"
    stimuli = [f"kind/{number:06d}" for number in range(N)]
    rng = np.random.default_rng(len(method))
    rows = {
        "dataset": ["toy"] * N,
        "sample_id": [f"s{number}" for number in range(N)],
        "model": ["net"] * N,
        "weights": ["w"] * N,
        "method": [method] * N,
        "metric": [name] * N,
        "preset": [preset] * N,
        "stimulus": stimuli,
        "target": list(range(N)),
        "unit": [0] * N,
        "score": [*rng.random(N - 1).tolist(), None],
        "status": [*["ok"] * (N - 1), "nonfinite"],
        "seconds": [0.5] * N,
    }
    key = {
        "method": {"name": method.partition("(")[0], "params": METHODS[method]},
        "metric": {"name": metric.partition("(")[0], "params": METRICS[metric]},
        "stimulus": {"name": "grid", "rule": "bcos_v2", "n": 2, "models": ["net:w"]},
    }
    address = {"cell": cell, "shard": "shard"}
    facts = {"address": address, "direction": "higher", "first": 0, "stop": N, "key": key}
    record = {"schema": 1, "facts": facts, "chance": [0.25] * (N - 1) + [None]}
    table = pa.table(rows, schema=pa.schema(COLUMNS, {b"bcos_eval": json.dumps(record).encode()}))
    path = root / "units" / cell / "shard.parquet"
    path.parent.mkdir(parents=True)
    pq.write_table(table, path, compression="zstd")
    if curves:
        path = root / "curves" / cell / "shard.parquet"
        path.parent.mkdir(parents=True)
        drawn = {"stimulus": stimuli, "target": range(N), "unit": [0] * N, "curve": rng.random((N, 5)).tolist()}
        pq.write_table(pa.table(drawn, schema=pa.schema(CURVE_COLUMNS)), path, compression="zstd")


def write_examples(root, method):
    path = root / "examples" / "toy" / "net-w" / "single" / f"{method}.npz"
    path.parent.mkdir(parents=True, exist_ok=True)
    identity = {"dataset": "toy", "model": "net", "weights": "w", "kind": "single", "method": method}
    np.savez_compressed(
        path,
        **{key: np.array(value) for key, value in identity.items()},
        version=np.array(1),
        stimulus_ids=np.array(["single/a"]),
        images=np.zeros((1, 8, 8, 3), np.uint8),
        targets=np.array([[0]]),
        class_names=np.array([["cat"]]),
        regions=np.ones((1, 1, 8, 8), bool),
        maps=np.ones((1, 1, 8, 8), np.float16),
        scales=np.ones((1, 1, 1, 1)),
    )


def write_aggregate(root, method):
    path = root / "aggatt" / f"{method}.npz"
    path.parent.mkdir(exist_ok=True)
    identity = {"dataset": "toy", "model": "net", "weights": "w", "method": method, "metric": "difull/rao2022"}
    np.savez_compressed(
        path,
        **{key: np.array(value) for key, value in identity.items()},
        version=np.array(1),
        kind=np.array("grid2x2-rao2022-difull"),
        n_asked=np.array(50),
        counts=np.array([1, 2, 22, 22, 2, 1]),
        scores=np.linspace(1, 0, 6),
        means=np.ones((6, 8, 8), np.float32),
        examples=np.ones((6, 8, 8), np.float32),
        example_ids=np.array([f"grid2x2/{number:06d}" for number in range(6)]),
        region=np.pad(np.ones((4, 4), bool), (0, 4)),
    )


@pytest.fixture
def old_store(tmp_path):
    root = tmp_path / "old"
    for method in METHODS:
        for metric in METRICS:
            write_shard(root, method, metric, curves=metric.startswith("pixel"))
        write_examples(root, method)
        write_aggregate(root, method)
    runs = [{"started": "2026-01-01", "cells": [path.name for path in (root / "units").iterdir()]}]
    (root / "manifest.json").write_text(json.dumps({"schema": 1, "runs": runs}))
    return root


@pytest.fixture
def call(capsys):
    """Runs a command; returns its exit code and standard output."""

    def caller(*arguments):
        with pytest.raises(SystemExit) as caught:
            main([str(argument) for argument in arguments])
        return caught.value.code, capsys.readouterr().out

    return caller


def test_the_leaderboard_has_the_labels_and_means_of_the_rows(old_store, call):
    code, text = call("leaderboard", old_store, "--format", "csv")
    rows = list(csv.DictReader(io.StringIO(text)))
    assert code == 0
    assert [(row["method"], f"{row['metric']}/{row['preset']}") for row in rows] == [
        (method, metric) for method in sorted(METHODS) for metric in sorted(METRICS)
    ]
    scores = np.random.default_rng(len("bcos")).random(N - 1)
    assert float(rows[0]["mean"]) == pytest.approx(scores.mean(), rel=1e-12)
    assert {(row["n"], row["n_nonfinite"], row["chance"], row["direction"]) for row in rows} == {
        (str(N - 1), "1", "0.25", "higher")
    }


def test_shards_know_their_methods_without_reading_labels(old_store):
    facts = {shard.facts.method.label: shard.facts.method for shard in Store(old_store).shards()}
    assert facts["lime(n_samples=100)"].settings == (("n_samples", 100),)
    assert facts["random"].is_control
    assert Store(old_store).ignored == []


def test_all_figures_are_drawn(old_store, tmp_path):
    names = {
        path.stem.partition("-")[0] for path in draw(Results.unchecked([old_store]), [], tmp_path / "figures")
    }
    assert names == {"localisation", "qualitative", "perturbation", "agreement", "aggatt", "cost_quality"}


def test_methods_are_compared(old_store, call):
    code, text = call("compare", old_store, "bcos", "lime(n_samples=100)")
    assert code == 0
    assert "grid_pg/bcos_v2(n=2)" in text
    assert "pixel_perturbation/bcos_v1" in text


def test_controls_are_left_out_of_the_agreement(old_store, call):
    assert "(3 methods)" in call("agreement", old_store)[1]
    assert call("agreement", old_store, "--no-controls")[0] == 2  # of two methods there is no ranking


def test_a_damaged_old_file_is_left_out_and_named(old_store):
    units, curves = (next((old_store / place).glob("*bcos*/*.parquet")) for place in ("units", "curves"))
    addresses = [shard.facts.address for shard in Store(old_store).shards()]
    for path in (units, curves):
        path.write_bytes(path.read_bytes()[:-30])
    store = Store(old_store)
    finished = [address for address in addresses if store.has(address)]
    assert len(finished) == len(addresses) - len({units.parent.name, curves.parent.name})
    assert units in store.ignored
