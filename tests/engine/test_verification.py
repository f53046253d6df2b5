from __future__ import annotations

import pyarrow as pa
import pytest

from bcos_eval.cli.main import main
from bcos_eval.engine.verification import computed_again
from bcos_eval.store.shards import Store, StoredShard


@pytest.fixture(scope="module")
def stored(tmp_path_factory):
    """A folder of two small cells."""
    out = tmp_path_factory.mktemp("verify") / "out"
    given = ["--model", "resnet18", "--method", "grad,random", "--metric", "energy_pg", "--samples", "4"]
    with pytest.raises(SystemExit) as ended:
        main(["run", *given, "--device", "cpu", "--out", str(out), "--quiet"])
    assert ended.value.code == 0
    return out


def test_what_is_stored_is_what_comes_out_again(stored, capsys):
    assert [verdict.problem for verdict in computed_again(stored, 10)] == ["", ""]
    with pytest.raises(SystemExit) as ended:
        main(["verify", str(stored), "--units", "0"])
    assert ended.value.code == 0
    assert capsys.readouterr().out == "no problem found.\n"


def test_scores_that_do_not_come_out_again_are_listed(stored, capsys):
    store = Store(stored)
    shard = next(shard for shard in store.shards() if shard.facts.method.name == "grad")
    place = shard.table.column_names.index("score")
    changed = shard.table.set_column(place, "score", pa.array([0.123] * len(shard.table), pa.float64()))
    store.write(StoredShard(shard.facts, changed, shard.chance))
    try:
        with pytest.raises(SystemExit) as ended:
            main(["verify", str(stored), "--device", "cpu"])
    finally:
        store.write(shard)
    assert ended.value.code == 1
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("wrong: resnet18 × grad × energy_pg/default, single/")
    assert ": score 0.123 stored, " in lines[0]
    assert lines[1:] == ["2 units computed again, 1 differ by more than 0.0001 or cannot be.", "1 problems found."]
