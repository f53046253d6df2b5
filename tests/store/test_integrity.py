from __future__ import annotations

import numpy as np
import pytest

from bcos_eval.store.arrays import save_arrays
from bcos_eval.store.examples import ExampleIdentity, Examples, save_examples
from bcos_eval.store.facts import MethodFacts, MetricFacts, ShardAddress, ShardFacts
from bcos_eval.store.integrity import completeness_findings, file_findings, sampled_units
from bcos_eval.store.manifest import RunRecord
from bcos_eval.store.shards import Store, StoredShard, curve_table, unit_table

METHOD = MethodFacts("ixg")


def write(root, *, cell="cell", name="shard", n=4, first=0, curves=False):
    rows = [
        {
            "dataset": "toy",
            "sample_id": f"s{i}",
            "model": "m",
            "weights": "w",
            "method": "ixg",
            "metric": "energy_pg",
            "preset": "default",
            "stimulus": f"single/{i}",
            "target": i,
            "unit": 0,
            "score": 0.1 * i,
            "status": "ok",
            "seconds": 0.5,
            "curve": [0.5],
        }
        for i in range(first, first + n)
    ]
    facts = ShardFacts(
        ShardAddress(cell, name), METHOD, MetricFacts("energy_pg", "default", "higher"), first, first + n, {}
    )
    Store(root).write(StoredShard(facts, unit_table(rows), (0.5,) * n, curve_table(rows) if curves else None))


@pytest.fixture
def root(tmp_path):
    """A folder with every kind of file."""
    folder = tmp_path / "run"
    write(folder, curves=True)
    write(folder, cell="other", name="a", n=2)
    write(folder, cell="other", name="b", n=2, first=2)
    identity = ExampleIdentity("toy", "m", "w", "single", METHOD)
    pixels, regions = np.zeros((1, 4, 4, 3), np.uint8), np.ones((1, 1, 4, 4), bool)
    maps = np.ones((1, 1, 4, 4))
    save_examples(folder, Examples(identity, ("s",), pixels, np.array([[0]]), (("cat",),), regions, maps))
    save_arrays(folder / "pools" / "toy" / "0-1.npz", {"max_logits": np.ones(3)})
    planned = {"cell": 4, "other": 4}
    RunRecord({}, {}, {}, list(planned), planned=planned).save(folder, "finished")
    return folder


def texts(findings):
    return [one.text for one in findings]


def test_an_untouched_folder_has_no_findings(root):
    assert texts(file_findings(root)) == []
    assert texts(completeness_findings(root)) == []


@pytest.mark.parametrize(
    "pattern",
    [
        "units/cell/*",
        "units/other/a*",
        "curves/*/*",
        "examples/*/*/*/*",
        "pools/*/*",
        "records/*",
        "manifest.json",
    ],
)
@pytest.mark.parametrize("damage", ["flipped", "cut", "empty", "folder"])
def test_every_damaged_file_is_named(root, pattern, damage):
    (path,) = root.glob(pattern)
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.unlink()
    if damage == "folder":
        path.mkdir()
    else:
        path.write_bytes({"flipped": content, "cut": content[:-9], "empty": b""}[damage])
    message = f"'{path}' is damaged or not of this suite; delete it, and the same command makes it again."
    assert texts(file_findings(root)) == [message]


def test_missing_curves_are_named(root):
    path = Store(root).curves_path(ShardAddress("cell", "shard"))
    path.unlink()
    assert texts(file_findings(root)) == [f"'{path}' is missing; the same `bcos-eval run` computes it again."]


def test_a_left_over_and_a_file_of_an_earlier_version_are_no_errors(root):
    left = root / "units" / "cell" / ".x-1-y.tmp"
    left.touch()
    old = root / "aggatt" / "old.npz"
    old.parent.mkdir()
    (root / "records" / "old.json").write_text("{}")
    assert {one.severity for one in file_findings(root)} == {"unknown"}


def test_cells_that_lack_units_are_named(root):
    Store(root).units_path(ShardAddress("other", "b")).unlink()
    message = f"'{root}/units/other' holds 2 of 4 units; the same `bcos-eval run` computes the others."
    assert texts(completeness_findings(root)) == [message]


def test_a_cell_without_a_plan_is_unknown(root):
    RunRecord({}, {}, {}, ["older"]).save(root, "finished")
    (finding,) = completeness_findings(root)
    assert (finding.severity, finding.text) == (
        "unknown",
        f"'{root}/units/older' was run by a version that kept no plan.",
    )


def test_sampled_units_are_stored_ones_and_depend_on_the_seed_alone(root):
    drawn = sampled_units(root, 2, seed=1)
    assert drawn == sampled_units(root, 2, seed=1)
    assert len({one.facts.address for one in sampled_units(root, 10)}) == 3
    for one in drawn:
        rows = Store(root).read(one.facts.address).table.to_pylist()
        assert one.row in rows
