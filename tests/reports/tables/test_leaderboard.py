from __future__ import annotations

import json
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest

from bcos_eval.errors import InputError
from bcos_eval.reports.tables.leaderboard import (
    current_shards,
    leaderboard,
    leaderboard_rows,
    require_results,
    stored_units,
    write_leaderboard,
)
from bcos_eval.reports.tables.table import LEADERBOARD_COLUMNS
from bcos_eval.statistics.intervals import mean_interval
from bcos_eval.store.facts import MethodFacts, MetricFacts, ShardAddress, ShardFacts
from bcos_eval.store.shards import Store, StoredShard, unit_table

NAN = float("nan")
RNG = np.random.default_rng(0)


def shard(rows, *, cell="cell", name="shard", chance=0.25, direction="higher", score_range=(None, None), **labels):
    """A shard from rows `(stimulus, unit, target, score, status)`."""
    fixed = {
        "dataset": "toy",
        "model": "m",
        "weights": "w",
        "method": "ixg",
        "metric": "grid_pg",
        "preset": "bcos_v2",
        "sample_id": "s",
        "seconds": 0.5,
        **labels,
    }
    units = [
        dict(zip(("stimulus", "unit", "target", "score", "status"), row, strict=True), **fixed) for row in rows
    ]
    metric = MetricFacts(
        fixed["metric"],
        fixed["preset"],
        direction,
        is_mean_over_classes=fixed["metric"] == "pointing_game",
        low=score_range[0],
        high=score_range[1],
    )
    facts = ShardFacts(ShardAddress(cell, name), MethodFacts(fixed["method"]), metric, 0, len(rows), {})
    return StoredShard(facts, unit_table(units), (chance,) * len(rows))


ROWS = [
    ("g/0", 0, 0, 0.2, "ok"),
    ("g/0", 1, 1, 0.0, "zero_map"),
    ("g/1", 0, 2, NAN, "nonfinite"),
    ("g/1", 1, 0, 0.7, "ok"),
]


def test_the_columns_are_the_contracts():
    assert tuple(leaderboard([shard(ROWS)]).columns) == LEADERBOARD_COLUMNS == (
        "dataset", "model", "weights", "method", "metric", "preset", "pool", "n", "n_planned", "mean",
        "ci_low", "ci_high", "median", "q25", "q75", "chance", "n_zero", "n_constant", "n_empty", "n_skipped",
        "n_failed", "n_nonfinite", "direction",
    )  # fmt: skip


def test_a_row_summarises_the_defined_scores_and_counts_the_others():
    (row,) = leaderboard_rows([shard(ROWS)])
    assert row["n"] == 3
    assert row["mean"] == pytest.approx(0.3)
    assert row["median"] == pytest.approx(0.2)
    assert (row["q25"], row["q75"]) == pytest.approx((0.1, 0.45))
    assert row["chance"] == 0.25
    assert (row["n_zero"], row["n_nonfinite"]) == (1, 1)
    assert row["seconds_per_unit"] == 0.5
    assert row["direction"] == "higher"
    assert np.isnan([row["ci_low"], row["ci_high"]]).all()  # of two stimuli none holds its level


def test_the_interval_is_over_stimuli_and_knows_the_range_of_the_metric():
    rows = [(f"g/{i // 3}", i % 3, 0, RNG.random(), "ok") for i in range(60)]
    (row,) = leaderboard_rows([shard(rows)])
    expected = mean_interval(np.array([score for *_, score, _ in rows]), [stimulus for stimulus, *_ in rows])
    assert (row["ci_low"], row["ci_high"]) == pytest.approx(expected, abs=1e-12)
    hits = [(f"s/{i}", 0, i % 4, 1.0, "ok") for i in range(10)]
    unbounded, bounded = (leaderboard_rows([shard(hits, score_range=r)])[0] for r in ((None, None), (0.0, 1.0)))
    assert np.isnan([unbounded["ci_low"], unbounded["ci_high"]]).all()
    assert (bounded["ci_low"], bounded["ci_high"]) == pytest.approx((0.6915, 1), abs=1e-4)


def test_every_unit_without_a_plain_score_is_counted_by_reason():
    statuses = (
        "ok",
        "zero_map",
        "constant_map",
        "constant_map",
        "nonfinite",
        "empty_region",
        "skipped",
        "skipped",
        *["failed"] * 3,
    )
    rows = [(f"s/{i}", 0, 0, 0.5, status) for i, status in enumerate(statuses)]
    (counts,) = leaderboard_rows([shard(rows)])
    columns = ("n_zero", "n_nonfinite", "n_constant", "n_empty", "n_skipped", "n_failed")
    assert set(counts) == {
        *LEADERBOARD_COLUMNS,
        "seconds_per_unit",
        "median_tied",
        "n_stimuli",
        "stored",
        "was_to_stop",
        "is_control",
        "method_name",
        "preset_name",
    }
    assert [counts[column] for column in columns] == [1, 1, 2, 1, 2, 3]
    assert counts["n_stimuli"] == len(rows)


def test_stimuli_with_a_score_are_counted_once():
    cells = [(f"s/{i // 9}", i % 9, 0, float("nan") if i >= 18 else 0.5, "ok") for i in range(27)]
    (counts,) = leaderboard_rows([shard(cells)])
    assert (counts["n"], counts["n_stimuli"]) == (18, 2)


def test_the_pointing_game_is_the_mean_over_classes():
    hits = [("s/0", 0, 0, 1.0, "ok"), ("s/1", 0, 0, 1.0, "ok"), ("s/2", 0, 0, 1.0, "ok"), ("s/3", 0, 1, 0.0, "ok")]
    assert leaderboard([shard(hits, metric="pointing_game")])["mean"].item() == 0.5
    assert leaderboard([shard(hits, metric="energy_pg")])["mean"].item() == 0.75


def test_a_cell_without_defined_scores_keeps_its_row():
    row = leaderboard([shard([("g/0", 0, 0, NAN, "nonfinite")])]).iloc[0]
    assert (row["n"], row["n_nonfinite"]) == (0, 1)
    assert np.isnan([row["mean"], row["ci_low"], row["median"], row["chance"]]).all()


def test_units_in_two_shards_of_a_cell_count_once():
    table = leaderboard([shard(ROWS[:2]), shard(ROWS, name="longer")])
    assert table["n"].item() == 3


def test_the_order_of_shards_does_not_matter():
    one, two = shard(ROWS[:2], name="a"), shard(ROWS[2:], name="b")
    pd.testing.assert_frame_equal(leaderboard([one, two]), leaderboard([two, one]))


def test_no_shards_make_an_empty_table_with_all_columns():
    assert tuple(leaderboard([]).columns) == LEADERBOARD_COLUMNS
    assert len(stored_units([])) == 0


def test_of_cells_with_equal_labels_the_one_asked_for_last_is_shown(tmp_path):
    store = Store(tmp_path)
    for cell in ("seed_a", "seed_b"):
        store.write(shard(ROWS, cell=cell))
    runs = [{"started": str(i), "cells": [cell]} for i, cell in enumerate(["seed_b", "seed_a"])]
    (tmp_path / "manifest.json").write_text(json.dumps({"schema": 1, "runs": runs}))
    shards, n_older = current_shards(store)
    assert {one.facts.address.cell for one in shards} == {"seed_a"}
    assert n_older == 1


def test_a_store_without_a_manifest_still_has_a_leaderboard(tmp_path):
    store = Store(tmp_path)
    store.write(shard(ROWS))
    assert len(leaderboard(current_shards(store)[0])) == 1


def test_the_csv_file_keeps_all_digits_and_leaves_the_undefined_empty(tmp_path):
    table = leaderboard_rows([shard([("g/0", 0, 0, 1 / 3, "ok")])])
    write_leaderboard(table, tmp_path / "leaderboard.csv")
    header, row = (tmp_path / "leaderboard.csv").read_text().splitlines()
    assert header == ",".join(LEADERBOARD_COLUMNS)
    assert row.startswith("toy,m,w,ixg,grid_pg,bcos_v2,,1,,0.3333333333333333,")
    timings = (tmp_path / "timings.csv").read_text()
    assert (
        timings
        == "dataset,model,weights,method,metric,preset,pool,seconds_per_unit\ntoy,m,w,ixg,grid_pg,bcos_v2,,0.5\n"
    )


def test_the_number_of_planned_units_comes_from_the_manifest():
    assert leaderboard([shard(ROWS)], {"cell": 90})["n_planned"].tolist() == [90]
    assert leaderboard([shard(ROWS)])["n_planned"].isna().all()


def test_a_folder_without_results_is_an_error(tmp_path):
    with pytest.raises(InputError) as caught:
        require_results([], tmp_path)
    assert str(caught.value) == f"'{tmp_path}' holds no results; make some with `bcos-eval run --out {tmp_path}`."


def test_a_leaderboard_loads_neither_torch_nor_pandas_nor_matplotlib(tmp_path):
    Store(tmp_path).write(shard(ROWS))
    program = (
        "import sys; from pathlib import Path; from bcos_eval.reports.tables import leaderboard as home; "
        "from bcos_eval.store.shards import Store; "
        "shards, _ = home.current_shards(Store(Path(sys.argv[1]))); home.leaderboard_rows(shards); "
        "print(len(shards), sorted({'torch', 'pandas', 'matplotlib'} & set(sys.modules)))"
    )
    shown = subprocess.run([sys.executable, "-c", program, tmp_path], capture_output=True, text=True, check=True)
    assert shown.stdout == "1 []\n"
