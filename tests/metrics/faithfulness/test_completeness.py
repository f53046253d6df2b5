from __future__ import annotations

import pytest
import torch

from bcos_eval.contract.explained_model import ExplainedModel
from bcos_eval.contract.plugins import find_explainer
from bcos_eval.data import load_dataset
from bcos_eval.metrics import Status, completeness_residual
from bcos_eval.models import load_model

SIDE = 4


def _shapes(n):
    dataset = load_dataset("shapes")
    images = torch.stack([dataset[index].image for index in range(n)])
    targets = torch.tensor([[dataset[index].label, (dataset[index].label + 1) % 8] for index in range(n)])
    return images, targets


def test_the_residual_is_relative_for_large_evidence_and_absolute_for_small():
    maps = torch.tensor([[[[3.0, 1.0]], [[0.25, 0.0]]]])
    residual = completeness_residual(maps, torch.tensor([[2.0, -5.5]]), bias=-6.0)
    assert residual.tolist() == [[0.5, 0.25]]


def test_the_position_term_is_no_residual():
    maps = torch.full((1, 1, 2, 2), 0.5)
    assert completeness_residual(maps, torch.tensor([[1.0]]), -4.0, torch.tensor([[3.0]])).item() == 0
    assert completeness_residual(maps, torch.tensor([[1.0]]), -4.0).item() == pytest.approx(3 / 5)


def test_the_contributions_of_a_linear_model_are_complete(score, linear_sigmoid):
    generator = torch.Generator().manual_seed(0)
    images = torch.rand(2, 3, SIDE, SIDE, generator=generator, dtype=torch.float64)
    weights = torch.randn(3, SIDE, SIDE, generator=generator, dtype=torch.float64)
    predict, targets = linear_sigmoid(weights), torch.tensor([[0, 1], [1, 0]])
    maps = predict.explain(images, targets)
    scored = score("completeness", maps, images=images, targets=targets, predict=predict)
    torch.testing.assert_close(scored.values, torch.zeros(2, 2, dtype=torch.float64), rtol=0, atol=1e-9)
    doubled = score("completeness", 2 * maps, images=images, targets=targets, predict=predict)
    logits = predict.logits(images).gather(1, targets).abs()
    torch.testing.assert_close(doubled.values, logits / logits.clamp_min(1), rtol=0, atol=1e-9)


def test_a_zero_map_misses_the_whole_evidence(score, linear_sigmoid):
    predict = linear_sigmoid(torch.ones(3, SIDE, SIDE))
    scored = score(
        "completeness", torch.zeros(1, 1, SIDE, SIDE), images=torch.ones(1, 3, SIDE, SIDE), predict=predict
    )
    assert scored.values.item() == 1
    assert scored.status == ((Status.ZERO_MAP,),)


def test_the_contributions_of_a_trained_bcos_network_are_complete(score):
    images, targets = _shapes(8)
    predict = ExplainedModel(load_model("bcos_resnet18"), find_explainer("bcos"))
    maps = predict.explain(images, targets)
    scored = score("completeness", maps, images=images, targets=targets, predict=predict)
    assert scored.values.max() < 1e-5
    gradient = ExplainedModel(predict.network, find_explainer("grad")).explain(images, targets)
    assert score("completeness", gradient, images=images, targets=targets, predict=predict).values.mean() > 0.1


@pytest.mark.slow
def test_a_vision_transformer_is_complete_with_its_position_term(score):
    model = load_model("bcos_vitc_ti_patch1_14", "random")
    predict = ExplainedModel(model, find_explainer("bcos"))
    images = torch.rand(1, 3, 224, 224, generator=torch.Generator().manual_seed(0))
    targets = torch.tensor([[0, 5]])
    maps = predict.explain(images, targets)
    scored = score("completeness", maps, images=images, targets=targets, predict=predict)
    assert scored.values.max() < 1e-4
    _, position_term = predict.constant_terms(predict.encode(images), targets)
    assert (position_term != 0).all()
