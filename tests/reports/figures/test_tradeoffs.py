from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

import bcos_eval
from bcos_eval.contract.plugins import default_presets
from bcos_eval.reports.figures.panels import MissingDataError
from bcos_eval.reports.figures.style import figure_style
from bcos_eval.reports.figures.tradeoffs import accuracy_localisation_pages, cost_quality_pages
from bcos_eval.reports.results import Results

CARDS = Path(bcos_eval.__file__).parent / "models" / "weights"
SCORES = np.linspace(0.1, 0.5, 20)


def card(model):
    return json.loads((CARDS / f"{model}-shapes.json").read_text())


def units(make, model, method, scores, **more):
    make.units(scores, model=model, method=method, weights=card(model)["sha256"][:16], **more)


def drawn(make, function):
    with figure_style():
        pages = function(Results.of([make.root]))
        for page in pages:
            page.figure.draw_without_rendering()
    return pages


def points(axes):
    return {
        line.get_marker() + line.get_color(): (float(line.get_xdata()[0]), float(line.get_ydata()[0]))
        for line in axes.get_lines()
        if len(line.get_xdata()) == 1
    }


def test_networks_stand_at_their_cards_accuracy_and_twins_are_joined(make):
    units(make, "bcos_resnet18", "bcos", SCORES + 0.4)
    units(make, "bcos_resnet18", "gradcam", SCORES + 0.5)
    units(make, "resnet18", "gradcam", SCORES + 0.1)
    units(make, "resnet18", "ixg", SCORES)
    units(make, "resnet18", "center", SCORES + 0.5, is_control=True)
    (page,) = drawn(make, accuracy_localisation_pages)
    (axes,) = page.figure.axes
    expected = {
        (100 * card("bcos_resnet18")["val_top1"], SCORES.mean() + 0.4),
        # The explainer that localises best, which a control is not.
        (100 * card("resnet18")["val_top1"], SCORES.mean() + 0.1),
    }
    np.testing.assert_allclose(sorted(points(axes).values()), sorted(expected), rtol=1e-12)
    (joined,) = (line for line in axes.get_lines() if len(line.get_xdata()) == 2)
    np.testing.assert_allclose(sorted(zip(*joined.get_data(), strict=True)), sorted(expected), rtol=1e-12)
    assert sorted(text.get_text() for text in axes.texts)[-2:] == ["resnet18", "shapes"]


def test_accuracies_of_other_weights_are_not_guessed(make):
    make.units(SCORES, model="resnet18", method="ixg", weights="0123456789abcdef")
    with pytest.raises(MissingDataError, match="on weights whose accuracy is known"):
        drawn(make, accuracy_localisation_pages)


def test_scores_stand_at_the_seconds_they_took_and_controls_are_left_out(make):
    make.units(SCORES, method="bcos")
    make.units(SCORES / 2, method="lime")
    make.units(SCORES / 2, method="random", is_control=True)
    (page,) = drawn(make, cost_quality_pages)
    (axes,) = page.figure.axes
    expected = [(0.5, SCORES.mean() / 2), (0.5, SCORES.mean())]
    np.testing.assert_allclose(sorted(points(axes).values())[-2:], expected, rtol=1e-12)
    assert [text.get_text() for text in page.figure.legends[0].get_texts()] == ["bcos", "lime"]
    assert axes.get_xscale() == "log"


def test_of_several_presets_the_recommended_one_is_drawn_or_the_one_with_most_rows(make):
    for method in ("bcos", "lime"):
        make.units(SCORES, method=method, metric="grid_pg", preset="rao2022")
    make.units(SCORES, method="bcos", metric="grid_pg", preset="aloe_strided")
    (page,) = drawn(make, cost_quality_pages)
    assert page.name == "cost_quality-grid_pg_rao2022"
    make.units(SCORES, method="bcos", metric="grid_pg", preset=default_presets()["grid_pg"])
    (page,) = drawn(make, cost_quality_pages)
    assert page.name == f"cost_quality-grid_pg_{default_presets()['grid_pg']}"


def test_a_legend_of_many_methods_leaves_the_panel_its_room(make):
    for number in range(40):
        make.units(SCORES, method=f"method{number}")
    (page,) = drawn(make, cost_quality_pages)
    page.figure.draw_without_rendering()
    (axes,) = page.figure.axes
    assert axes.get_window_extent().height > page.figure.dpi  # an inch
    assert page.figure.legends[0].get_window_extent().y1 <= axes.get_window_extent().y0
