from __future__ import annotations

import json

import pytest

from bcos_eval.bench.store_suite import measure_store, store_text
from bcos_eval.cli.main import main
from bcos_eval.reports.tables.stored import stored_leaderboard


def test_a_store_of_whole_cells_is_made_and_read(tmp_path):
    report = measure_store(1000, tmp_path)
    assert (report.n_units, report.n_shards) == (1800, 20)
    assert [row.work for row in report.rows] == [
        "first leaderboard",
        "unchanged leaderboard",
        "nothing to do",
        "nothing to do, and the leaderboard",
        "all figures",
    ]
    assert [*(tmp_path / "drawn").iterdir()]
    assert all(0 < row.cpu_seconds < 60 and 10 < row.peak_megabytes < 1024 for row in report.rows)
    board = stored_leaderboard([tmp_path])
    assert [row["n"] for row in board.rows] == [900, 900]
    assert board.damaged == []
    assert store_text(report).splitlines()[0].startswith("1,800 units in 20 shards, ")


def test_the_command_prints_the_report(capsys):
    with pytest.raises(SystemExit) as caught:
        main(["bench", "--suite", "store", "--units", "900", "--json"])
    assert caught.value.code == 0
    assert json.loads(capsys.readouterr().out)["n_shards"] == 10
