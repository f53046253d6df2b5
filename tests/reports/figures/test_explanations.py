from __future__ import annotations

import numpy as np
import pytest
import torch

from bcos_eval.reports.figures.comparison import comparison_pages
from bcos_eval.reports.figures.explanations import evidence_pages, explanation_pages
from bcos_eval.reports.figures.panels import MissingDataError
from bcos_eval.reports.figures.style import figure_style
from bcos_eval.reports.results import Results
from bcos_eval.store.examples import TWO_MOST_LIKELY

SIDE = 8


def pages(make, function):
    with figure_style():
        return function(Results.unchecked([make.root]))


def texts(figure):
    return [text.get_text() for axes in figure.axes for text in axes.texts]


def test_inputs_stand_over_a_row_of_colours_for_each_architecture(make):
    for model in ("bcos_resnet18", "bcos_densenet121"):
        make.examples(torch.randn(3, 1, SIDE, SIDE), colour=True, model=model)
    make.examples(torch.randn(3, 1, SIDE, SIDE), method="ixg")
    (page,) = pages(make, explanation_pages)
    assert page.name == "explanations-shapes"
    assert len(page.figure.axes) == 9
    assert [text.get_text() for text in page.figure.texts] == ["input", "bcos_\ndensenet121", "bcos_\nresnet18"]
    # Half opaque grey on white paper.
    assert np.unique(page.figure.axes[-1].images[0].get_array()).tolist() == [191]


def test_the_two_most_likely_classes_stand_side_by_side_with_their_sums(make):
    make.examples(torch.randn(1, 1, SIDE, SIDE), colour=True)
    maps = torch.stack([torch.full((SIDE, SIDE), 0.5), torch.full((SIDE, SIDE), -0.25)])[None]
    make.examples(maps, colour=True, kind=TWO_MOST_LIKELY)
    page = pages(make, explanation_pages)[1]
    assert page.name == "explanations-shapes-two_classes"
    assert texts(page.figure) == ["input", "cat\n+32.00", "dog\n-16.00"]


def test_evidence_is_summed_to_the_logits_and_to_their_difference(make):
    maps = torch.stack([torch.full((SIDE, SIDE), 0.5), torch.full((SIDE, SIDE), -0.25)])[None]
    make.examples(maps, colour=True, kind=TWO_MOST_LIKELY)
    (page,) = pages(make, evidence_pages)
    assert texts(page.figure) == ["cat\n+32.00", "dog\n-16.00", "difference\n+48.00"]
    shown = [axes.images[0].get_array()[0, 0].tolist() for axes in page.figure.axes[1:]]
    # One scale: the difference, 0.75, is full red, two thirds of it for the first, one third against the second.
    assert shown[2] == [255, 0, 0]
    assert shown[0][0] == 255
    assert shown[0][1] == pytest.approx(85, abs=2)
    assert shown[1][2] == 255
    assert shown[1][1] == pytest.approx(170, abs=2)


def test_networks_and_twins_stand_in_paired_rows_with_their_scores(make):
    for model in ("resnet18", "bcos_resnet18"):
        make.examples(torch.randn(2, 1, SIDE, SIDE), method="ixg", model=model)
    make.examples(torch.randn(2, 1, SIDE, SIDE), method="bcos", colour=True)
    labels = {"metric": "energy_pg", "preset": "default", "method": "ixg"}
    make.units([0.25, 0.75], **labels, model="resnet18", ids=("single/0", "single/1"))
    (page,) = pages(make, comparison_pages)
    assert page.name == "comparison-shapes-resnet18"
    names = [text.get_text() for text in page.figure.texts]
    assert [name for name in names if "resnet18" in name] == ["resnet18", "bcos_resnet18"] * 2
    assert names[-4:] == ["input", "bcos in colour", "bcos", "ixg"]
    # Of the first row: the class, two dashes for what only B-cos networks have, the score.
    assert texts(page.figure)[:4] == ["cat", "–", "–", "0.250"]
    assert "Below each map: energy_pg/default." in page.caption


def test_a_network_without_its_twin_is_not_compared(make):
    make.examples(torch.randn(1, 1, SIDE, SIDE), method="ixg", model="resnet18")
    with pytest.raises(MissingDataError, match="holds no examples of a network and of its B-cos twin"):
        pages(make, comparison_pages)


@pytest.mark.parametrize("function", [explanation_pages, evidence_pages])
def test_without_b_cos_networks_it_is_said_how_to_get_some(make, function):
    with pytest.raises(MissingDataError, match="holds no explanations of B-cos networks; make them with"):
        pages(make, function)
