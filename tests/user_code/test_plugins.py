from __future__ import annotations

from textwrap import dedent

import pytest
import torch

from bcos_eval import evaluate, explain
from bcos_eval.contract.plugins import find_explainer
from bcos_eval.errors import InputError
from bcos_eval.user_code.plugins import explainer_named, explainer_of, metric_named

MINE = """
    from __future__ import annotations
    from typing import TYPE_CHECKING

    import torch
    from bcos_eval.baselines import register_explainer
    from bcos_eval.metrics import MetricInfo, Scored, Status, register_metric

    if TYPE_CHECKING:
        from torch import Tensor

    def ixg(model, images, targets, *, seed: int = 0, scale: float = 1.0, layer=None, **params) -> Tensor:
        images = images.clone().requires_grad_(True)
        logits = model(model.encode(images))
        sums = [logits.gather(1, k[:, None]).sum() for k in targets.T]
        grads = [torch.autograd.grad(one, images, retain_graph=True)[0] for one in sums]
        return scale * torch.stack([(g * images).sum(1) for g in grads], 1).detach()

    @register_explainer("left", source="me")
    def left_half(model, images, targets, *, share: int = 2):
        maps = torch.zeros(*targets.shape, *images.shape[-2:])
        maps[..., : images.shape[-1] // share] = 1
        return maps

    def inside(maps, regions):
        positive = maps.clamp(min=0).double()
        return (positive * regions).sum((2, 3)) / positive.sum((2, 3))

    def logit(targets, maps, images, predict, seed):
        return predict.logits(predict.encode(images)).gather(1, targets)

    logit.direction = "lower"
    logit.stimulus = "grid"
    logit.chance = 0.5

    info = MetricInfo("half", "mine", "single", "lower", 0, 1, None, "me", {"factor": 0.5})

    @register_metric(info)
    def half(batch, factor):
        values = torch.full(batch.targets.shape, factor, dtype=torch.float64)
        return Scored(values, tuple((Status.OK,) * len(row) for row in batch.targets), values * torch.nan)
"""


@pytest.fixture
def mine(tmp_path):
    """A file with explainers and metrics of the user's own."""
    path = tmp_path / "mine.py"
    path.write_text(dedent(MINE), encoding="utf-8")
    return path


@pytest.fixture
def toy_evaluate(toy_network, toy_dataset):
    """Evaluates the toy network on single images."""

    def start(metrics="energy_pg", methods="ixg", **asked):
        network = asked.pop("model", None) or toy_network(is_bcos=False)
        asked = {"dataset": toy_dataset(), "n_samples": 6, "device": "cpu", **asked}
        return evaluate(network, metrics, methods, **asked)

    return start


def refusal(function, *arguments, **keywords):
    with pytest.raises(InputError) as caught:
        function(*arguments, **keywords)
    return str(caught.value)


def test_an_explainer_from_a_file_gives_the_maps_of_the_suites_own(mine, toy_network, toy_dataset):
    images = torch.stack([toy_dataset()[index].image for index in (0, 1)])
    targets = torch.tensor([[0, 3], [1, 2]])
    toy = toy_network(is_bcos=False)
    torch.testing.assert_close(
        explain(toy, images, targets, f"{mine}:ixg", scale=2.0), 2 * explain(toy, images, targets, "ixg")
    )


def test_its_numbers_and_texts_are_parameters_and_the_rest_keeps_its_default(mine):
    info = explainer_named(f"{mine}:ixg").info
    assert (info.name, dict(info.defaults), info.stochastic) == ("mine.ixg", {"scale": 1.0}, True)


@pytest.mark.parametrize("name", ["left", "left_half"])
def test_a_registered_function_goes_by_its_registered_name(mine, name):
    explainer = explainer_named(f"{mine}:{name}")
    assert (explainer.info.name, explainer.info.source) == ("left", "me")
    assert refusal(find_explainer, "left").startswith("unknown method 'left'")


@pytest.mark.parametrize("name", ["half", "half/mine"])
def test_a_registered_metric_keeps_its_preset(mine, name):
    metric = metric_named(f"{mine}:{name}")
    assert (metric.info.name, metric.info.preset, metric.info.direction) == ("half", "mine", "lower")
    assert metric.code


def test_a_plain_function_says_what_it_is_by_its_arguments_and_attributes(mine):
    inside, logit = metric_named(f"{mine}:inside").info, metric_named(f"{mine}:logit").info
    assert (inside.name, inside.preset, inside.stimulus, inside.direction) == (
        "mine.inside",
        "own",
        "single",
        "higher",
    )
    assert (inside.needs, inside.chance) == ((), None)
    assert (logit.stimulus, logit.direction, logit.needs, logit.chance) == ("grid", "lower", ("model",), 0.5)
    assert logit.defaults == {"rule": "bcos_v2", "n": 3}


def test_own_and_registered_ones_run_together_and_score_alike(mine, toy_evaluate):
    methods = ["ixg", f"{mine}:ixg,{mine}:left"]
    found = toy_evaluate(["energy_pg", f"{mine}:inside"], methods, params={"left.share": 4})
    means = found.leaderboard.set_index(["method", "metric"])["mean"]
    assert sorted(set(found.leaderboard["method"])) == ["ixg", "left(share=4)", "mine.ixg"]
    for method in ("ixg", "mine.ixg"):
        assert means[method, "mine.inside"] == pytest.approx(means["ixg", "energy_pg"], abs=1e-6)
    assert means["left(share=4)", "energy_pg"] == 1.0  # the toy objects fill the left half


def test_an_own_metric_sees_the_model_and_may_score_grids(mine, toy_evaluate):
    found = toy_evaluate(f"{mine}:logit", "ixg", params={"mine.logit.n": 2})
    row = found.leaderboard.iloc[0]
    assert (row["metric"], row["direction"], row["chance"]) == ("mine.logit", "lower", 0.5)
    assert len(found.units) == 4 * found.units["stimulus"].nunique()


def test_finished_work_is_found_again_until_the_file_changes(mine, toy_evaluate, tmp_path):
    def shards():
        return {path.name for path in (tmp_path / "out").rglob("units/*/*.parquet")}

    def run():
        return toy_evaluate(f"{mine}:inside", f"{mine}:left", out=tmp_path / "out").leaderboard["mean"].item()

    assert run() == 1.0
    first = shards()
    assert run() == 1.0
    assert shards() == first
    mine.write_text(mine.read_text(encoding="utf-8").replace("share: int = 2", "share: int = 1"), encoding="utf-8")
    assert run() == pytest.approx(0.5)
    assert len(shards()) == 2 * len(first)


def test_functions_are_taken_in_every_form_and_never_for_stored_ones(toy_evaluate, tmp_path):
    level = 1.0

    def mine(model, images, targets):
        return torch.full((*targets.shape, *images.shape[-2:]), level)

    def total(maps):
        return maps.sum((2, 3))

    forms = ((total, mine), ([total], ["ixg", mine]), ({"total": total}, {"mine": mine}))
    for metrics, methods in forms:
        board = toy_evaluate(metrics, methods, out=tmp_path).leaderboard.set_index("method")
        assert board.loc["mine", ["metric", "preset", "mean"]].tolist() == ["total", "own", 64.0]
    level = 2.0
    assert toy_evaluate(total, mine, out=tmp_path).leaderboard["mean"].item() == 128.0
    assert refusal(find_explainer, "mine").startswith("unknown method 'mine'")


def test_functions_explain_directly(toy_network):
    maps = explain(
        toy_network(), torch.rand(2, 3, 8, 8), torch.tensor([0, 1]), lambda m, i, t: torch.ones(2, 1, 8, 8)
    )
    assert maps.shape == (2, 1, 8, 8)


def test_scores_that_do_not_exist_are_counted(toy_evaluate):
    def undefined(maps):
        return maps.sum((2, 3)) * torch.nan

    found = toy_evaluate(undefined, "uniform")
    assert found.leaderboard["n_nonfinite"].item() == 6
    assert set(found.units["status"]) == {"nonfinite"}


@pytest.mark.parametrize(
    ("methods", "message"),
    [
        (
            {"lime": lambda model, images, targets: images},
            "method 'lime' is one of the suite; give yours another name.",
        ),
        (
            [lambda model, images, targets: images],
            "a method cannot be called '<lambda>'; name it with methods={'mine': function}, letters and digits.",
        ),
        ({"mine": lambda model: model}, "method 'mine' must take (model, images, targets)."),
        (
            {"mine": lambda model, images, targets, level: images},
            "method 'mine' must take (model, images, targets); give level a default.",
        ),
        ({"mine": int}, "method 'mine' is of type type; give a function (model, images, targets)."),
        (
            {"mine": lambda model, images, targets: images},
            "method 'mine' gave maps of shape (1, 3, 8, 8); give (B, K, H, W), (1, 1, 8, 8).",
        ),
        (
            {"mine": lambda model, images, targets: [1]},
            "method 'mine' gave list; give a tensor of shape (1, 1, 8, 8).",
        ),
    ],
)
def test_functions_that_are_no_explainers_are_refused(toy_evaluate, methods, message):
    assert refusal(toy_evaluate, "energy_pg", methods) == message


def lowest(maps):
    return maps.amin((2, 3))


lowest.direction = "down"


@pytest.mark.parametrize(
    ("metrics", "message"),
    [
        ({"grid_pg": lambda maps: maps}, "metric 'grid_pg' is one of the suite; give yours another name."),
        ({"lowest": lowest}, "metric 'lowest' has direction 'down'; allowed: higher, lower."),
        (
            {"mine": lambda map: map},
            "metric 'mine' must take maps, and if it needs them images, targets, regions, predict, seed; give map "
            "a number or a text as default.",
        ),
        (
            {"mine": lambda images: images},
            "metric 'mine' must take maps, and if it needs them images, targets, regions, predict, seed.",
        ),
        ({"mine": lambda maps: maps}, "metric 'mine' gave (1, 1, 8, 8); give a tensor (B, K), (1, 1)."),
        ({"mine": lambda maps: 0.5}, "metric 'mine' gave float; give a tensor (B, K), (1, 1)."),
        (
            {"mine": 3},
            "metric 'mine' is of type int; give a function of maps, images, targets, regions, predict, seed.",
        ),
    ],
)
def test_functions_that_are_no_metrics_are_refused(toy_evaluate, metrics, message):
    assert refusal(toy_evaluate, metrics) == message


def test_two_files_of_one_name_are_refused(mine, toy_evaluate, tmp_path):
    (tmp_path / "b").mkdir()
    other = tmp_path / "b" / "mine.py"
    other.write_text(mine.read_text(encoding="utf-8"), encoding="utf-8")
    message = refusal(toy_evaluate, "energy_pg", [f"{mine}:ixg", f"{other}:ixg"])
    assert message == f"'{mine}:ixg' and '{other}:ixg' are both called mine.ixg; rename one of them."


def test_the_suites_explainers_can_be_handed_over_too():
    ixg = find_explainer("ixg")
    assert explainer_of("ixg", ixg) is ixg
