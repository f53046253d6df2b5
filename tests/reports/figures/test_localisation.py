from __future__ import annotations

import re

import numpy as np
import pytest

from bcos_eval.reports.figures.localisation import localisation_pages
from bcos_eval.reports.figures.panels import MissingDataError
from bcos_eval.reports.figures.style import figure_style
from bcos_eval.reports.methods import method_style
from bcos_eval.reports.results import Results
from bcos_eval.store.facts import method_of_old_label

RNG = np.random.default_rng(0)


def drawn_axes(make):
    with figure_style():
        (page,) = localisation_pages(Results.unchecked([make.root]))
        page.figure.draw_without_rendering()
    assert page.name == "localisation"
    return page.figure.axes


def method_names(axes):
    return [label.get_text() for label in axes.get_xticklabels()]


def boxes(axes):
    """Vertical extents of the boxes, from left to right."""
    return [np.unique(patch.get_path().vertices[:4, 1]) for patch in axes.patches]


def test_boxes_show_the_quartiles_and_medians_of_the_stored_units_best_first(make):
    scores = {"bcos": RNG.beta(5, 2, 90), "ixg": RNG.beta(2, 5, 90), "lime": RNG.beta(3, 3, 90)}
    for method, values in scores.items():
        make.units(values, method=method, targets_per_stimulus=9)
    (axes,) = drawn_axes(make)
    assert method_names(axes) == ["bcos", "lime", "ixg"]
    for name, box, patch in zip(method_names(axes), boxes(axes), axes.patches, strict=True):
        assert np.allclose(box, np.quantile(scores[name], [0.25, 0.75]), atol=1e-12)
        assert patch.get_edgecolor() == pytest.approx(to_rgba(method_style(method_of_old_label(name)).colour))
    medians = [line.get_ydata()[0] for line in axes.get_lines() if line.get_color() == "black"]
    assert medians == pytest.approx([np.median(scores[name]) for name in method_names(axes)], abs=1e-12)


def test_a_table_of_published_scores_per_unit_has_its_published_medians(make):
    """CoDA-Nets store an array of grids × cells for each explainer; their medians are published."""
    published = {"bcos": np.round(RNG.beta(9, 1, (50, 9)), 4), "occlusion": np.round(RNG.beta(4, 2, (50, 9)), 4)}
    for method, table in published.items():
        make.units(table.ravel(), method=method, targets_per_stimulus=9)
    (axes,) = drawn_axes(make)
    medians = [line.get_ydata()[0] for line in axes.get_lines() if line.get_color() == "black"]
    assert medians == [float(np.median(published[name])) for name in method_names(axes)]
    assert axes.get_xlabel() == "method (n = 450)"


def to_rgba(colour):
    return (*tuple(int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)), 1.0)


def test_methods_with_the_same_median_are_in_the_order_of_their_names(make):
    for method in ("lime", "grad", "bcos"):
        make.units([0.1, 0.5, 0.9], method=method)
    assert method_names(drawn_axes(make)[0]) == ["bcos", "grad", "lime"]


def test_dashed_lines_lie_at_one_and_at_the_share_of_a_cell(make):
    make.units(RNG.random(8), chance=1 / 4)
    (axes,) = drawn_axes(make)
    dashed = {line.get_label(): line.get_ydata()[0] for line in axes.get_lines() if line.get_linestyle() == "--"}
    assert dashed == {"perfect": 1.0, "chance": pytest.approx(0.25, abs=1e-9)}


def test_units_without_a_score_are_left_out_and_the_axis_counts_the_others(make):
    make.units([0.2, np.nan, 0.4, np.inf], method="lime")
    make.units([0.7, 0.8, 0.9, 1.0], method="bcos")
    (axes,) = drawn_axes(make)
    assert axes.get_xlabel() == "method (n = 2 to 4*, * fewer than 30 stimuli)"
    assert np.allclose(boxes(axes)[1], [0.25, 0.35], atol=1e-12)


def test_outliers_are_not_drawn(make):
    make.units([*np.linspace(0.4, 0.6, 50), 0.0, 1.0])
    (axes,) = drawn_axes(make)
    ends = [line.get_ydata() for line in axes.get_lines() if line.get_linestyle() == "-"]
    assert min(map(min, ends)) == pytest.approx(0.4)
    assert max(map(max, ends)) == pytest.approx(0.6)


def test_each_model_and_preset_has_its_panel(make):
    make.units([0.5], model="resnet18")
    make.units([0.5], model="bcos_resnet18")
    make.units([0.5], model="bcos_resnet18", preset="rao2022")
    make.units([0.5], metric="energy_pg", preset="model_guidance")
    headings = [[text.get_text() for text in axes.texts[:2]] for axes in drawn_axes(make)]
    assert headings == [
        ["bcos_resnet18", "shapes, grid_pg/bcos_v2"],
        ["bcos_resnet18", "shapes, grid_pg/rao2022"],
        ["resnet18", "shapes, grid_pg/bcos_v2"],
    ]


def test_weights_are_named_only_where_two_panels_differ_in_nothing_else(make):
    make.units([0.5], weights="0123456789abcdef")
    make.units([0.5], weights="random")
    assert [axes.texts[0].get_text() for axes in drawn_axes(make)] == [
        "bcos_resnet18 [0123456789ab]",
        "bcos_resnet18 [random]",
    ]


def test_names_of_twelve_methods_neither_touch_nor_leave_the_page(make):
    methods = [f"guided_gradcam(layer=features.{i})" for i in range(12)]
    for model in ("bcos_vitc_ti_patch1_14", "densenet121", "resnet50", "bcos_resnet50"):
        for method in methods:
            make.units(RNG.random(4), model=model, method=method)
    axes = drawn_axes(make)
    figure = axes[0].figure
    for one in axes:
        labels = one.get_xticklabels()
        # Tilted by 45 degrees, lines of text are apart if their anchors are a line height × √2 apart.
        anchors = [label.get_window_extent().x1 for label in labels]
        line_height = labels[0].get_fontsize() * figure.dpi / 72
        assert np.diff(anchors).min() > line_height * np.sqrt(2) * 0.9
        box = one.get_tightbbox()
        assert figure.bbox.padded(1).containsx(box.x1)
        assert figure.bbox.padded(1).containsy(box.y0)


@pytest.mark.parametrize("scores", [[], [np.nan]])
def test_a_store_without_scores_says_how_to_make_them(make, scores):
    if scores:
        make.units(scores)
    message = (
        f"figure 'localisation': '{make.root}' holds no scores of grid_pg; make them with "
        f"`bcos-eval run --model MODEL --metric grid_pg --out {make.root}`."
    )
    with pytest.raises(MissingDataError, match=f"^{re.escape(message)}$"):
        localisation_pages(Results.unchecked([make.root]))
