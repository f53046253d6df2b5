"""`--until`: one process, workers, shares and resumed runs stop at the same interval that is short enough."""

from __future__ import annotations

import json

import pandas as pd
import pytest

from bcos_eval import evaluate
from bcos_eval.engine import executors
from bcos_eval.engine.progress import Progress
from bcos_eval.engine.request import RunRequest
from bcos_eval.engine.run import run
from bcos_eval.engine.share import Share
from bcos_eval.errors import InputError
from bcos_eval.reports.tables.leaderboard import leaderboard
from bcos_eval.reports.tables.stored import leaderboard_findings, stored_leaderboard
from bcos_eval.statistics.sequences import anytime_interval, half_width
from bcos_eval.store.integrity import completeness_findings
from bcos_eval.store.manifest import planned_units, stopping_widths
from bcos_eval.user_code.model import models_named

UNTIL = 0.06
OWN = """
    def left(model, images, targets):
        return torch.ones_like(images[:, :1]) * torch.arange(64)
"""


@pytest.fixture(scope="module")
def own(tmp_path_factory, own_file):
    return own_file(tmp_path_factory.mktemp("own"), OWN)


@pytest.fixture
def start(own, tmp_path):
    """Runs two methods on single images, of which one may stop before the other."""

    def started(out, **asked):
        models, files = models_named([f"{own}:Tiny"])
        request = RunRequest(
            models=models, model_files=files, methods=("random", f"{own}:left"), metrics=("energy_pg",),
            device="cpu", **{"n_samples": 400, "until": UNTIL, **asked},
        )  # fmt: skip
        root = tmp_path / out
        result = run(request, root, progress=Progress(quiet=True))
        return result, leaderboard(result.shards, planned_units(root), stopping_widths(root))

    return started


def test_cells_stop_at_the_first_look_that_is_precise_enough(start, tmp_path):
    result, table = start("out")
    assert set(table["n"]) <= {50 * look for look in range(1, 8)}
    assert table["n"].max() < 400
    assert (table["n"] == table["n_planned"]).all()
    for (_, row), method in zip(table.iterrows(), ("own.left", "random"), strict=True):
        shards = [shard for shard in result.shards if shard.facts.method.name == method]
        units = pd.concat([shard.units for shard in sorted(shards, key=lambda one: one.facts.first)])
        of_look = {"low": 0.0, "high": 1.0, "target": UNTIL}
        scores, stimuli = units["score"].to_numpy(), units["stimulus"].to_numpy()
        widths = [half_width(scores[:n], stimuli[:n], **of_look) for n in range(50, row["n"] + 1, 50)]
        assert [width < UNTIL for width in widths] == [False] * (len(widths) - 1) + [True]
        assert (row["ci_low"], row["ci_high"]) == anytime_interval(scores, stimuli, **of_look)
    out = tmp_path / "out"
    assert [*completeness_findings(out), *leaderboard_findings(out)] == []
    assert pd.DataFrame(stored_leaderboard([out]).rows)["ci_low"].tolist() == table["ci_low"].tolist()


def test_a_run_that_was_ended_stops_where_one_that_was_not_does(start, monkeypatch):
    expected = start("whole")[1]
    n_computed, compute = [0], executors.compute_unclaimed

    def ended(*arguments):
        n_computed[0] += 1
        if n_computed[0] % 2 == 0:
            raise KeyboardInterrupt
        return compute(*arguments)

    with monkeypatch.context() as patched:
        patched.setattr(executors, "compute_unclaimed", ended)
        for _ in range(2):
            with pytest.raises(KeyboardInterrupt):
                start("ended")
    pd.testing.assert_frame_equal(start("ended")[1], expected, check_exact=True)


def test_shares_and_workers_stop_at_the_same_place(start):
    expected = start("whole")[1]
    for number, asked in enumerate(({"share": Share(1, 2)}, {"workers": 2})):
        pd.testing.assert_frame_equal(start(f"out{number}", **asked)[1], expected, check_exact=True)


def test_the_most_samples_are_the_end(start, tmp_path):
    _, table = start("out", until=0.001, n_samples=70)
    assert table["n"].tolist() == [70, 70]
    (record,) = json.loads((tmp_path / "out" / "manifest.json").read_text())["runs"]
    assert (record["asked"]["until"], set(record["planned"].values())) == (0.001, {70})


@pytest.mark.parametrize(
    ("metric", "message"),
    [
        (
            "infidelity",
            "--until 0.02 needs scores of a bounded range and metric 'infidelity/default' has none; leave --until "
            "out, or run this metric alone with --samples.",
        ),
        (
            "pointing_game",
            "--until 0.02 needs a mean over units, and metric 'pointing_game/default' has one over classes; leave "
            "--until out, or run this metric alone with --samples.",
        ),
    ],
)
def test_means_without_such_an_interval_are_refused(own, metric, message):
    with pytest.raises(InputError) as caught:
        evaluate(f"{own}:Tiny", metric, "random", until=0.02)
    assert str(caught.value) == message


@pytest.mark.parametrize("until", [0.0, -1.0, float("nan"), float("inf")])
def test_a_half_width_is_above_zero(until):
    with pytest.raises(InputError) as caught:
        RunRequest(models=("m",), metrics=("energy_pg",), until=until)
    assert str(caught.value) == (f"--until {until:g} is not allowed; give a half-width above 0, such as 0.02.")


def test_ranked_stimuli_are_taken_in_a_random_order(toy_run, tmp_path):
    plain = toy_run(metrics=("grid_pg",), root=tmp_path / "plain").shards
    result = toy_run(metrics=("grid_pg",), until=0.2)
    one, other = (pd.concat([shard.units for shard in shards]) for shards in (plain, result.shards))
    assert one["stimulus"].tolist() != other["stimulus"].tolist()
    by_unit = ["stimulus", "unit", "target", "score"]
    pd.testing.assert_frame_equal(
        *(each[by_unit].sort_values(by_unit[:2], ignore_index=True) for each in (one, other))
    )
    n_grids = other["stimulus"].nunique()
    assert {shard.facts.key["drawn_from"] for shard in result.shards} == {n_grids}
    table = leaderboard(result.shards, until=stopping_widths(toy_run.root))
    bounds = {"low": 0.0, "high": 1.0, "target": 0.2, "population": n_grids}
    expected = anytime_interval(other["score"].to_numpy(), other["stimulus"].to_numpy(), **bounds)
    assert (table["ci_low"].item(), table["ci_high"].item()) == expected
