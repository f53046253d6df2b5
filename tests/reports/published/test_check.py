from __future__ import annotations

import json
import math
from dataclasses import replace

import numpy as np
import pytest

from bcos_eval.cli.main import main
from bcos_eval.reports.published.check import check, measurements
from bcos_eval.reports.published.text import check_text
from bcos_eval.reports.published.values import TOP1, shipped_values
from bcos_eval.store.arrays import save_arrays
from bcos_eval.store.facts import MethodFacts, MetricFacts, ShardAddress, ShardFacts
from bcos_eval.store.manifest import RunRecord
from bcos_eval.store.pools import pool_name
from bcos_eval.store.shards import Store, StoredShard, unit_table

OFFICIAL = "68b4160fff01234567"  # begins like the official ResNet-18
QUARTILES = [value for value in shipped_values() if value.model == "bcos_resnet18" and value.metric == "grid_pg"]
(ACCURACY,) = [value for value in shipped_values() if value.model == "bcos_resnet18" and value.metric == TOP1]
N_GRIDS = 500


def published_scores():
    """4500 scores whose quartiles are the published .834265, .891107 and .932204, in a random order of grids."""
    q25, median, q75 = (value.value for value in QUARTILES)
    knots = np.interp(np.linspace(0, 1, 9 * N_GRIDS), [0, 0.25, 0.5, 0.75, 1], [0.2, q25, median, q75, 1])
    # Of 4500 scores the quartiles lie between these pairs, which are equal.
    knots[1124:1126], knots[2249:2251], knots[3374:3376] = q25, median, q75
    return np.random.default_rng(0).permutation(knots)


def write(root, *, scores=None, record=True, **changes):
    stated = {
        "dataset": "imagenet",
        "n_images": 50_000,
        "model": "bcos_resnet18",
        "weights": OFFICIAL,
        "size": 224,
        "preset": "bcos_v2",
        "params": {"n": 3, "smoothing": 15, "rule": "bcos_v2"},
        "models": None,
        **changes,
    }
    scores = published_scores() if scores is None else scores
    labels = {key: stated[key] for key in ("dataset", "model", "weights", "preset")}
    rows = [
        {
            **labels,
            "sample_id": f"{i}",
            "method": "bcos",
            "metric": "grid_pg",
            "stimulus": f"grid3x3/{i // 9:06d}",
            "target": i,
            "unit": i % 9,
            "score": float(score),
            "status": "ok",
            "seconds": 0.1,
        }
        for i, score in enumerate(scores)
    ]
    own = [f"{stated['model']}:{stated['weights']}"]
    key = {
        "dataset": {"name": stated["dataset"], "digest": "d"},
        "model": {"name": stated["model"], "weights": stated["weights"]},
        "method": {"name": "bcos", "params": {}},
        "metric": {"name": "grid_pg", "params": stated["params"]},
        "stimulus": {"name": "grid", "models": stated["models"] or own},
    }
    facts = ShardFacts(
        ShardAddress("cell", "shard"),
        MethodFacts("bcos"),
        MetricFacts("grid_pg", stated["preset"], "higher", low=0.0, high=1.0),
        0,
        len(scores) // 9,
        key,
    )
    Store(root).write(StoredShard(facts, unit_table(rows), (1 / 9,) * len(rows)))
    if record:
        RunRecord(
            asked={},
            dataset={
                "name": stated["dataset"],
                "digest": "d",
                "n_images": stated["n_images"],
                "input_sizes": {stated["model"]: stated["size"]},
            },
            weights={stated["model"]: stated["weights"]},
            cells=["cell"],
        ).save(root, "finished")
    return root


def test_scores_with_the_published_quartiles_agree(tmp_path):
    answers = check(QUARTILES, [write(tmp_path)])
    for answer in answers:
        assert answer.reasons == ()
        assert answer.sample == ""
        assert answer.verdict == "agrees"
        assert abs(answer.difference) < 1e-12
        # Grids of independent scores: the ends lie about 2 · √(q (1 − q) / 4500) from the quartile in rank.
        share = {"q25": 0.25, "median": 0.5, "q75": 0.75}[answer.published.quantity]
        reach = 1.96 * math.sqrt(share * (1 - share) / 4500)
        ranks = [(published_scores() < end).mean() for end in (answer.ci_low, answer.ci_high)]
        assert ranks == pytest.approx([share - reach, share + reach], rel=0.01)


def test_other_scores_differ(tmp_path):
    answers = check(QUARTILES, [write(tmp_path, scores=published_scores() - 0.05)])
    assert [answer.verdict for answer in answers] == ["differs"] * 3
    assert [answer.difference for answer in answers] == pytest.approx([-0.05] * 3, abs=1e-12)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"dataset": "imagenette"}, "data imagenette, not imagenet"),
        ({"n_images": 300}, "images 300, not 50000"),
        ({"weights": "0538e18469b5d0a4"}, "weights 0538e18469, not 68b4160fff"),
        ({"size": 128}, "size 128, not 224"),
        ({"preset": "bcos_v2_blockwise"}, "preset bcos_v2_blockwise, not bcos_v2"),
        ({"params": {"n": 3, "smoothing": 1}}, "smoothing 1, not 15"),
        ({"params": {"n": 2, "smoothing": 15}}, "n 2, not 3"),
        (
            {"models": ["a:1", "b:2"]},
            "grids of images that several models share (PLACE), not of the model's own",
        ),
    ],
)
def test_each_difference_in_protocol_is_named_alone(tmp_path, changes, reason):
    for answer in check(QUARTILES, [write(tmp_path, **changes)]):
        assert answer.verdict == "not comparable"
        assert answer.reasons == (reason.replace("PLACE", answer.measurement.pool),)


def test_fewer_grids_are_said_and_may_agree(tmp_path):
    answers = check(QUARTILES, [write(tmp_path, scores=published_scores()[: 9 * 100])])
    assert {answer.verdict for answer in answers} == {"agrees"}
    assert {answer.sample for answer in answers} == {"n 100, not 500"}


def test_too_few_grids_have_no_interval(tmp_path):
    answers = check(QUARTILES, [write(tmp_path, scores=published_scores()[:36])])
    assert {answer.reasons for answer in answers} == {("no interval with 4 stimuli",)}
    assert {answer.verdict for answer in answers} == {"not comparable"}


def test_the_measurement_nearest_in_protocol_stands_beside(tmp_path):
    far = write(tmp_path / "far", params={"n": 3, "smoothing": 1})
    near = write(tmp_path / "near", scores=published_scores()[:90])
    for order in ([far, near], [near, far]):
        assert {answer.measurement.n for answer in check(QUARTILES, order)} == {10}


def test_what_the_store_does_not_say_does_not_differ(tmp_path):
    answers = check(QUARTILES, [write(tmp_path, record=False, n_images=3, size=5)])
    assert {answer.verdict for answer in answers} == {"agrees"}


def test_nothing_measured_is_said(tmp_path):
    other = [replace(value, model="bcos_resnet50") for value in QUARTILES]
    for answer in check(other, [write(tmp_path)]):
        assert answer.verdict == "not measured"
        assert math.isnan(answer.difference)


def write_pool(root, correct, *, n_images=50_000):
    name = pool_name("imagenet", "d", "bcos_resnet18", OFFICIAL)
    for number, piece in enumerate(np.array_split(np.asarray(correct), 3)):
        save_arrays(root / "pools" / name / f"{number:08d}.npz", {"correct": piece})
    return write(root, n_images=n_images)


def test_accuracy_is_that_of_the_whole_pool(tmp_path):
    correct = np.zeros(50_000, dtype=bool)
    correct[:34_368] = True
    (answer,) = check([ACCURACY], [write_pool(tmp_path, correct)])
    assert answer.value == ACCURACY.value == 0.68736
    # Clopper and Pearson's interval at this size is the normal one to three digits.
    error = 1.96 * math.sqrt(0.68736 * 0.31264 / 50_000)
    assert (answer.ci_low, answer.ci_high) == pytest.approx((0.68736 - error, 0.68736 + error), abs=1e-4)
    assert (answer.verdict, answer.reasons, answer.sample) == ("agrees", (), "")


def test_an_unfinished_pool_is_no_accuracy(tmp_path):
    root = write_pool(tmp_path, [True] * 300)
    assert [one.metric for one in measurements(root)] == ["grid_pg"]


def test_a_smaller_dataset_of_the_same_name_is_not_comparable(tmp_path):
    (answer,) = check([ACCURACY], [write_pool(tmp_path, [True] * 300, n_images=300)])
    assert answer.reasons == ("images 300, not 50000",)


def test_rounded_numbers_agree_within_their_last_digit(tmp_path):
    scores = np.full(900, 0.83449)
    rounded = [replace(QUARTILES[0], value=0.834)]
    (answer,) = check(rounded, [write(tmp_path, scores=scores)])
    assert answer.verdict == "agrees"
    (answer,) = check(rounded, [write(tmp_path, scores=scores + 0.0002)])
    assert answer.verdict == "differs"


def test_text_lists_what_was_measured_and_counts_the_rest(tmp_path):
    root = write(tmp_path)
    missing = replace(QUARTILES[0], model="bcos_resnet50")
    text = check_text(check([*QUARTILES, missing], [root]), "md")
    lines = text.splitlines()
    assert [cell.strip() for cell in lines[2].split("|")[1:5]] == [
        "bcos_resnet18",
        "bcos",
        "grid_pg/bcos_v2(n=3,smoothing=15)",
        "q25",
    ]
    assert "4 published numbers: 3 agrees, 1 not measured." in lines
    assert "bcos_resnet50" not in text
    assert "bcos_resnet50" in check_text(check([missing], [root]), "md", with_missing=True)


def test_command_prints_json_of_every_number(tmp_path, capsys):
    with pytest.raises(SystemExit) as caught:
        main(["check-published", str(write(tmp_path)), "--format", "json"])
    assert caught.value.code == 0
    values = json.loads(capsys.readouterr().out)["values"]
    assert len(values) == len(shipped_values())
    (row,) = [v for v in values if v["model"] == "bcos_resnet18" and v["quantity"] == "median"]
    assert (row["published"], row["verdict"], row["n_here"]) == (0.891107, "agrees", 500)
    assert {v["here"] for v in values if v["verdict"] == "not measured"} == {None}


def test_command_refuses_an_empty_folder(tmp_path, capsys):
    with pytest.raises(SystemExit) as caught:
        main(["check-published", str(tmp_path)])
    assert caught.value.code == 2
    assert capsys.readouterr().err == (
        f"error: '{tmp_path}' holds no results; make some with `bcos-eval run --out {tmp_path}`.\n"
    )
