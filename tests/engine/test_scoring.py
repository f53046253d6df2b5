from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from bcos_eval.baselines import EXPLAINERS
from bcos_eval.bench.bare import images_in_passes
from bcos_eval.contract.explained_model import Memory
from bcos_eval.data import load_dataset
from bcos_eval.engine import scoring
from bcos_eval.engine.choice import choose
from bcos_eval.engine.scoring import score_batch
from bcos_eval.errors import IncompatibleError
from bcos_eval.metrics import METRICS
from bcos_eval.models import load_model
from bcos_eval.stimuli.grids.compose import grid_stimulus
from bcos_eval.stimuli.single import SingleKind, stimulus_at


@pytest.mark.parametrize("method", ["bcos", "ixg", "gradcam"])
def test_attributions_are_the_same_to_the_last_bit_in_any_batch(method: str):
    # Input × gradient has many nearly equal pixels: rounding that depended on the batch reordered them and
    # moved a perturbation score by 4e-5.
    model = load_model("bcos_resnet18")
    stimuli = [stimulus_at(load_dataset("shapes"), index) for index in range(5)]

    def maps(size: int) -> torch.Tensor:
        scored = []
        for first in range(0, len(stimuli), size):
            scored += score_batch(
                model,
                choose(EXPLAINERS[method], []),
                [choose(METRICS["energy_pg/default"], [])],
                stimuli[first : first + size],
                kind=SingleKind(),
                seed=0,
                device=torch.device("cpu"),
                n_maps=1,
            )
        return torch.stack([entry.maps for entry in scored])

    assert torch.equal(maps(1), maps(5))
    assert torch.equal(maps(1), maps(2))


SHARING = [name for name, explainer in EXPLAINERS.items() if explainer.info.shares_passes]


def grid_scores(model, method, stimuli, batch):
    scored = []
    for first in range(0, len(stimuli), batch):
        scored += score_batch(
            model,
            choose(EXPLAINERS[method], []),
            [choose(METRICS["grid_pg/bcos_v2"], [])],
            stimuli[first : first + batch],
            kind=SingleKind(),
            seed=0,
            device=torch.device("cpu"),
        )
    return torch.tensor([entry.scores[0].values for entry in scored])


@pytest.fixture(scope="module")
def grids():
    dataset = load_dataset("shapes")
    return [
        grid_stimulus(f"grid/{g}", [dataset[4 * g + i] for i in range(4)], placement="row_major") for g in range(3)
    ]


def test_gradients_and_cams_share_passes_and_others_do_not():
    assert set(SHARING) == {
        "bcos", "bcos_relative", "grad", "grad_absolute", "ixg", "gb", "gb_absolute",
        "gradcam", "gradcam++", "layercam", "guided_gradcam",
    }  # fmt: skip


@pytest.mark.parametrize("model", ["bcos_resnet18", "resnet18", "bcos_vitc_ti_patch1_14"])
@pytest.mark.parametrize("method", SHARING)
def test_stimuli_that_share_a_pass_get_the_scores_they_get_alone(method, model, grids, monkeypatch):
    network = load_model(model)
    try:
        EXPLAINERS[method].check(network, {})
    except IncompatibleError as error:
        pytest.skip(str(error))
    alone = grid_scores(network, method, grids, 1)
    monkeypatch.setattr(scoring, "explains_together", lambda _device: True)
    # Sums of convolutions in another order, and with ReLUs pixels whose gradients jump.
    torch.testing.assert_close(grid_scores(network, method, grids, 3), alone, rtol=0, atol=1e-4)


@pytest.mark.parametrize(("method", "expected"), [("ixg", [2, 2, 1]), ("rollout", [1] * 5)])
def test_passes_hold_a_batch_of_those_that_share_them(method, expected, monkeypatch):
    network = load_model("vitc_ti_patch1_14")
    stimuli = [stimulus_at(load_dataset("shapes"), index) for index in range(5)]
    monkeypatch.setattr(scoring, "explains_together", lambda _device: True)
    assert images_in_passes(network, lambda: grid_scores(network, method, stimuli, 2)) == expected


@pytest.fixture
def scores(toy_network):
    """Score stimuli by several metrics, one method after the other, in one memory."""
    network = toy_network(is_bcos=False)

    def run(stimuli, methods, metrics, memory=None):
        choices = [choose(METRICS[name], []) for name in metrics]
        batches = [
            score_batch(
                network,
                choose(EXPLAINERS[method], []),
                choices,
                stimuli,
                kind=SingleKind(),
                seed=0,
                device=torch.device("cpu"),
                memory=memory,
            )
            for method in methods
        ]
        return [entry.scores[m].values for batch in batches for entry in batch for m in range(len(metrics))]

    return run


@pytest.fixture
def stimuli():
    return [
        replace(one, targets=torch.tensor([1]))
        for one in (stimulus_at(load_dataset("shapes"), index) for index in range(2))
    ]


METHODS = ("random", "uniform")


def test_scores_with_a_memory_are_those_without_to_the_last_bit(scores, stimuli):
    metrics = (
        "pixel_deletion/default",
        "pixel_deletion/gap",
        "pixel_insertion/default",
        "counterfactual_deletion/spearman",
        "counterfactual_deletion/wasted",
    )
    memory = Memory()
    together = scores(stimuli, METHODS, metrics, memory)
    alone = [
        value
        for method in METHODS
        for stimulus in stimuli
        for metric in metrics
        for value in scores([stimulus], (method,), (metric,))
    ]
    assert together == alone
    # Per image two curves of the random map, one of them walked in both directions; two of the uniform map, whose
    # tied pixels go in the same order whichever come first; the image; its scene without parts. And black.
    assert len(memory) == 2 * (2 + 2 + 1 + 1) + 1


def test_scenes_are_rendered_without_their_parts_only_for_metrics_that_ask(scores, stimuli):
    dataset = load_dataset("shapes")
    rendered = []
    watched = [
        replace(stimulus, counterfactuals=lambda i=i: rendered.append(i) or dataset.counterfactuals(i))
        for i, stimulus in enumerate(stimuli)
    ]
    scores(watched, ("random",), ("energy_pg/default",))
    assert rendered == []
    scores(watched, ("random",), ("counterfactual_deletion/spearman", "counterfactual_deletion/wasted"))
    assert rendered == [0, 1]
