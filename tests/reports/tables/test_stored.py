from __future__ import annotations

import json

import pytest

from bcos_eval.cli.main import main
from bcos_eval.reports.results import load_results
from bcos_eval.reports.tables import stored
from bcos_eval.reports.tables.leaderboard import current_shards, leaderboard_rows, of_target, write_leaderboard
from bcos_eval.reports.tables.stored import leaderboard_findings, stored_leaderboard
from bcos_eval.reports.tables.table import readable_columns
from bcos_eval.store.facts import MethodFacts, MetricFacts, ShardAddress, ShardFacts
from bcos_eval.store.shards import Store, StoredShard, unit_table


def shard(scores, *, cell="cell", name="shard", method="ixg", first=0):
    rows = [
        {
            "dataset": "toy",
            "sample_id": f"s{first + i}",
            "model": "m",
            "weights": "w",
            "method": method,
            "metric": "energy_pg",
            "preset": "default",
            "stimulus": f"single/{first + i}",
            "target": i,
            "unit": 0,
            "score": score,
            "status": "ok" if score == score else "nonfinite",
            "seconds": 0.5,
        }
        for i, score in enumerate(scores)
    ]
    metric = MetricFacts("energy_pg", "default", "higher")
    facts = ShardFacts(ShardAddress(cell, name), MethodFacts(method), metric, first, first + len(scores), {})
    return StoredShard(facts, unit_table(rows), (float("nan"),) * len(scores))


@pytest.fixture
def folder(tmp_path):
    store = Store(tmp_path / "run")
    store.write(shard([0.1, 0.2, float("nan")], cell="a"))
    store.write(shard([0.3, 0.4], cell="b", method="lime"))
    store.write(shard([0.5], cell="b", name="more", method="lime", first=2))
    return store.root


def written(rows):
    return [json.dumps(row) for row in rows]


def test_the_rows_are_those_of_the_shards(folder):
    board = stored_leaderboard([folder])
    expected = leaderboard_rows(current_shards(Store(folder))[0])
    assert written(board.rows) == written(expected)
    assert board.cells == ["a", "b"]
    assert (board.notes, board.damaged, board.empty) == ([], [], [])


def test_an_unchanged_cell_is_not_summarised_again(folder, monkeypatch):
    first = stored_leaderboard([folder])
    monkeypatch.setattr(stored, "summary", lambda shards, until: pytest.fail("summarised again"))
    assert written(stored_leaderboard([folder]).rows) == written(first.rows)


@pytest.mark.parametrize("change", ["new shard", "other scores", "removed", "code", "cache", "no cache"])
def test_what_changed_is_summarised_again(folder, monkeypatch, change):
    stored_leaderboard([folder])
    summarised = []
    summary = stored.summary
    monkeypatch.setattr(
        stored, "summary", lambda shards, until: summarised.append(len(shards)) or summary(shards, until)
    )
    store, cache = Store(folder), folder / "cache" / "leaderboard.json"
    expected = [2]
    if change == "new shard":
        store.write(shard([0.9], cell="b", name="third", method="lime", first=3))
        expected = [3]
    elif change == "other scores":
        store.write(shard([0.9], cell="b", name="more", method="lime", first=2))
    elif change == "removed":
        store.units_path(ShardAddress("b", "more")).unlink()
        expected = [1]
    elif change == "code":
        monkeypatch.setattr(stored, "_code_digest", lambda: "other")
        expected = [1, 2]
    elif change == "cache":
        cache.write_bytes(cache.read_bytes().replace(b"0.1", b"0.2"))
        expected = [1, 2]
    else:
        cache.unlink()
        expected = [1, 2]
    rows = stored_leaderboard([folder]).rows
    assert summarised == expected
    assert written(rows) == written(leaderboard_rows(current_shards(store)[0]))


def test_a_damaged_shard_is_left_out_and_named_also_when_rows_are_kept(folder):
    stored_leaderboard([folder])
    path = Store(folder).units_path(ShardAddress("b", "more"))
    path.write_bytes(path.read_bytes()[:-1])
    for _ in range(2):
        board = stored_leaderboard([folder])
        assert [row["n"] for row in board.rows] == [2, 2]
        assert board.damaged == [
            f"note: left out '{path}', which is damaged or of another version; the same `run` computes it again."
        ]


def test_a_folder_that_cannot_be_written_to_is_read(folder):
    (folder / "cache").touch()
    assert len(stored_leaderboard([folder]).rows) == 2


def test_folders_without_results_are_named(folder, tmp_path):
    board = stored_leaderboard([folder, tmp_path / "nothing"])
    assert len(board.rows) == 2
    assert board.empty == [tmp_path / "nothing"]


def test_parts_of_a_cell_in_two_folders_are_one_row(folder, tmp_path):
    other = Store(tmp_path / "other")
    other.write(shard([0.7, 0.8], cell="b", name="third", method="lime", first=3))
    other.write(shard([0.5], cell="b", name="more", method="lime", first=2))
    board = stored_leaderboard([folder, other.root])
    assert [row["n"] for row in board.rows] == [2, 5]
    assert (board.notes, board.empty) == ([], [])


def test_other_measurements_of_the_same_name_are_left_out_and_said(folder, tmp_path):
    other = Store(tmp_path / "other")
    other.write(shard([0.9], cell="a_of_another_seed"))
    board = stored_leaderboard([folder, other.root])
    assert [row["n"] for row in board.rows] == [2, 3]
    assert board.notes == [
        f"note: 1 rows of '{other.root}' are measured otherwise in '{folder}', whose are shown."
    ]
    Store(folder).write(shard([0.9], cell="a_of_another_seed"))
    board = stored_leaderboard([folder])
    assert board.cells == ["a_of_another_seed", "b"]
    assert board.notes == [
        "note: 1 cells with another seed, version or data are left out; "
        "of each row the one asked for last is shown."
    ]


def test_a_shard_copied_under_another_name_counts_once(folder):
    path = Store(folder).units_path(ShardAddress("b", "more"))
    path.with_name("copy.parquet").write_bytes(path.read_bytes())
    for _ in range(2):  # also when the rows are kept
        board = stored_leaderboard([folder])
        assert [row["n"] for row in board.rows] == [2, 3]
        assert board.damaged == [
            f"note: left out '{path.with_name('copy.parquet')}', which is damaged or of another version; "
            "the same `run` computes it again."
        ]


def test_a_leaderboard_that_does_not_follow_from_the_units_is_named(folder):
    path = folder / "leaderboard.csv"
    assert list(leaderboard_findings(folder)) == []
    write_leaderboard(stored_leaderboard([folder]).rows, path)
    assert list(leaderboard_findings(folder)) == []
    path.write_text(path.read_text().replace("0.4", "0.5"))
    (finding,) = leaderboard_findings(folder)
    assert finding.text == (
        f"'{path}' does not follow from the stored units; `bcos-eval leaderboard` makes it again."
    )


def test_two_equal_runs_write_the_same_leaderboard_byte_for_byte(toy_run, tmp_path):
    texts = []
    for name in ("one", "two"):
        toy_run(root=tmp_path / name, methods=("ixg", "random"))
        path = tmp_path / name / "leaderboard.csv"
        write_leaderboard(stored_leaderboard([path.parent]).rows, path)
        texts.append(path.read_bytes())
    assert texts[0] == texts[1]
    assert texts[0].count(b"\n") == 5


def test_partial_results_look_partial(toy_run, toy_dataset):
    toy_run.dataset = toy_dataset(n_per_class=10)  # 60 single images make two shards
    toy_run(metrics=("energy_pg",), n_samples=60)
    store = Store(toy_run.root)
    (row,) = stored_leaderboard([store.root]).rows
    assert row["n"] == row["n_planned"] == 60
    store.units_path(next(store.addresses())).unlink()
    (row,) = stored_leaderboard([store.root]).rows
    assert row["n"] in (10, 50)
    assert readable_columns([row])["n"] == [f"{row['n']}{'*' if row['n'] < 30 else ''} of 60"]


def test_a_class_alone_has_its_own_means_chance_and_interval(make):
    make.units([0.1, 0.9, 0.3, 0.7, 0.2, 0.5], targets_per_stimulus=2)
    make.units([0.4], metric="energy_pg")
    shards = load_results(make.root).shards
    (row,) = leaderboard_rows(of_target(shards, 1))
    assert (row["metric"], row["n"], row["n_stimuli"]) == ("grid_pg", 3, 3)
    assert row["mean"] == pytest.approx((0.9 + 0.7 + 0.5) / 3, abs=1e-12)
    assert row["chance"] == pytest.approx(1 / 9, abs=1e-12)
    assert of_target(shards, 2) == []


def test_the_command_shows_a_class_alone_and_refuses_one_that_nobody_explained(make, capsys):
    make.units([0.1, 0.9, 0.3, 0.7], targets_per_stimulus=2)

    def called(*arguments):
        with pytest.raises(SystemExit) as caught:
            main(["leaderboard", str(make.root), *arguments])
        shown = capsys.readouterr()
        return caught.value.code, shown.out, shown.err

    code, out, _ = called("--target", "1")
    assert code == 0
    assert "0.800" in out
    assert called("--target", "7") == (
        *(2, ""),
        f"error: --target 7: no unit of {make.root} was explained for it.\n",
    )
    assert called("--target", "1", "--wide") == (
        *(2, ""),
        "error: --wide tests ties over all classes; leave out --target or --wide.\n",
    )
