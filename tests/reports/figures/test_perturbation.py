from __future__ import annotations

import re

import numpy as np
import pytest

from bcos_eval.reports.curves import mean_curves
from bcos_eval.reports.figures.panels import MissingDataError
from bcos_eval.reports.figures.perturbation import MOST_IN_A_PANEL, perturbation_pages
from bcos_eval.reports.figures.style import PAGE_HEIGHT, figure_style
from bcos_eval.reports.methods import method_style
from bcos_eval.reports.results import Results
from bcos_eval.statistics.intervals import mean_interval
from bcos_eval.store.facts import method_of_old_label

RNG = np.random.default_rng(0)
LABELS = {"metric": "pixel_perturbation", "preset": "coda"}


def add_curves(make, curves, **labels):
    make.units([curve.mean() for curve in curves], curves=curves, chance=np.nan, **{**LABELS, **labels})


def drawn_figure(make):
    with figure_style():
        (page,) = perturbation_pages(Results.unchecked([make.root]))
        page.figure.draw_without_rendering()
    return page.figure


def test_lines_are_the_means_of_the_stored_curves(make):
    curves = {"bcos": RNG.random((6, 129)), "ixg": RNG.random((6, 129))}
    for method, values in curves.items():
        add_curves(make, values, method=method)
    (axes,) = drawn_figure(make).axes
    for line in axes.get_lines():
        assert np.allclose(line.get_ydata(), curves[line.get_label()].mean(0), atol=1e-12)
        assert np.allclose(line.get_xdata(), np.arange(129) / 128 * 25, atol=1e-12)
        assert line.get_color() == method_style(method_of_old_label(line.get_label())).colour
    assert axes.get_xlabel() == "pixels removed in % (n = 6*, * fewer than 30 stimuli)"


def test_the_band_is_the_interval_of_each_point(make):
    curves = RNG.random((12, 5))
    add_curves(make, curves)
    (curve,) = mean_curves(Results.of([make.root]))
    _, low, high = curve.band()
    for point in range(5):
        expected = mean_interval(curves[:, point], range(12), low=0, high=1)
        assert (low[point], high[point]) == pytest.approx(expected, abs=1e-9)


def test_the_band_is_filled_between_its_ends(make):
    curves = RNG.random((40, 5))
    add_curves(make, curves)
    (axes,) = drawn_figure(make).axes
    assert axes.get_xlabel() == "pixels removed in % (n = 40)"
    low, high = np.transpose([mean_interval(curves[:, point], range(40), low=0, high=1) for point in range(5)])
    vertices = axes.collections[0].get_paths()[0].vertices
    assert vertices[:, 1].min() == pytest.approx(low.min())
    assert vertices[:, 1].max() == pytest.approx(high.max())


def test_one_image_has_a_mean_and_no_band(make):
    add_curves(make, np.array([[0.9, 0.5, 0.1]]))
    (curve,) = mean_curves(Results.of([make.root]))
    assert curve.mean.tolist() == [0.9, 0.5, 0.1]
    assert np.isnan(curve.band()[1:]).all()
    drawn_figure(make)


def test_undefined_curves_are_left_out_and_the_axis_counts_the_others(make):
    curves = RNG.random((4, 3))
    curves[1] = np.nan
    add_curves(make, curves)
    (axes,) = drawn_figure(make).axes
    assert np.allclose(axes.get_lines()[0].get_ydata(), curves[[0, 2, 3]].mean(0), atol=1e-12)
    assert axes.get_xlabel() == "pixels removed in % (n = 3*, * fewer than 30 stimuli)"


def test_panels_share_the_vertical_axis_and_one_legend(make):
    add_curves(make, RNG.random((3, 5)) * 0.3, model="resnet18", method="lime")
    add_curves(make, RNG.random((3, 5)), model="bcos_resnet18")
    figure = drawn_figure(make)
    first, second = figure.axes
    assert first.get_ylim() == second.get_ylim()
    assert first.get_ylim()[0] == 0
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["bcos", "lime"]


def test_every_metric_that_states_its_curves_has_a_page(make):
    make.units([0.5], curves=[[0.5, 0.4, 0.3]], metric="pixel_deletion", preset="default")
    make.units([0.5], curves=[[0.5, 0.4, 0.3]], metric="incremental_deletion", preset="default")
    make.units([0.5], curves=[[0.5, 0.4, 0.3]], metric="of_the_users_own", preset="default")
    make.units([0.5], curves=[[0.9] * 9 + [0.2] * 9], metric="road", preset="default")
    with figure_style():
        pages = perturbation_pages(Results.of([make.root]))
    assert [page.name for page in pages] == [
        "perturbation-incremental_deletion-default",
        "perturbation-pixel_deletion-default",
        "perturbation-road-default",
    ]
    assert [axis.get_xlabel().partition(" (")[0] for page in pages for axis in page.figure.axes] == (
        ["pixels removed in %"] * 4
    )
    ends = [axis.get_xlim() for page in pages for axis in page.figure.axes]
    assert ends == [(0, 96.875), (0, 100), (10, 90), (10, 90)]
    # ROAD stores the curves of both orders, one after the other.
    assert [axis.get_lines()[0].get_ydata().tolist() for axis in pages[2].figure.axes] == [[0.9] * 9, [0.2] * 9]


def test_more_methods_than_a_panel_can_show_have_a_panel_per_family(make):
    methods = ["bcos", "gradcam", "lime", "grad", "ixg", "intgrad", "smoothgrad", "gb", "random"]
    assert len(methods) > MOST_IN_A_PANEL
    for method in methods:
        add_curves(make, RNG.random((3, 5)), method=method, is_control=method == "random")
    figure = drawn_figure(make)
    titled = [axis for axis in figure.axes if axis.get_title(loc="left")]
    assert [axis.get_title(loc="left") for axis in titled] == [
        "B-cos", "gradients", "activation maps", "perturbations", "controls",
    ]  # fmt: skip
    own = [line.get_label() for line in titled[1].get_lines() if not line.get_label().startswith("_")]
    assert own == ["grad", "ixg", "intgrad", "smoothgrad", "gb"] or set(own) == set(methods[3:8])
    # The others are there too, in grey.
    assert all(len(axis.get_lines()) == len(methods) for axis in titled)
    assert figure.get_figheight() <= PAGE_HEIGHT


def test_many_models_take_several_pages(make):
    for number in range(9):
        add_curves(make, RNG.random((3, 5)), model=f"m{number}")
    with figure_style():
        pages = perturbation_pages(Results.of([make.root]))
    assert [page.name for page in pages] == [
        "perturbation-pixel_perturbation-coda",
        "perturbation-pixel_perturbation-coda-2",
    ]
    assert sum(len(page.figure.axes) for page in pages) == 9
    assert all(page.figure.get_figheight() <= PAGE_HEIGHT for page in pages)


def test_a_store_without_curves_says_how_to_make_them(make):
    message = (
        f"figure 'perturbation': '{make.root}' holds no curves; make them with "
        f"`bcos-eval run --model MODEL --metric pixel_deletion --out {make.root}`."
    )
    with pytest.raises(MissingDataError, match=f"^{re.escape(message)}$"):
        perturbation_pages(Results.unchecked([make.root]))
