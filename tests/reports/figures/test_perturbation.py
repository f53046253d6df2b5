from __future__ import annotations

import re

import numpy as np
import pytest

from bcos_eval.reports.figures.panels import MissingDataError
from bcos_eval.reports.figures.perturbation import (
    mean_curve,
    perturbation_pages,
    stored_curves,
)
from bcos_eval.reports.figures.style import figure_style
from bcos_eval.reports.methods import method_style
from bcos_eval.statistics.intervals import mean_interval
from bcos_eval.store.facts import method_of_old_label
from bcos_eval.store.shards import Store

RNG = np.random.default_rng(0)
LABELS = {"metric": "pixel_perturbation", "preset": "coda"}


def add_curves(make, curves, **labels):
    make.units([curve.mean() for curve in curves], curves=curves, chance=np.nan, **{**LABELS, **labels})


def drawn_figure(make):
    with figure_style():
        (page,) = perturbation_pages(Store(make.root))
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
    curve = mean_curve(stored_curves(Store(make.root), list(Store(make.root).shards())))
    for point in range(5):
        expected = mean_interval(curves[:, point], range(12), low=0, high=1)
        assert (curve.low[point], curve.high[point]) == pytest.approx(expected, abs=1e-9)


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
    curve = mean_curve(stored_curves(Store(make.root), list(Store(make.root).shards())))
    assert curve.mean.tolist() == [0.9, 0.5, 0.1]
    assert np.isnan(curve.low).all()
    assert np.isnan(curve.high).all()
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


def test_other_metrics_with_curves_are_not_drawn(make):
    make.units([0.5], curves=[[0.5, 0.5]], metric="pixel_deletion", preset="default")
    with pytest.raises(MissingDataError):
        perturbation_pages(Store(make.root))


def test_a_store_without_curves_says_how_to_make_them(make):
    message = (
        f"figure 'perturbation': '{make.root}' holds no curves of pixel_perturbation; make them with "
        f"`bcos-eval run --model MODEL --metric pixel_perturbation --out {make.root}`."
    )
    with pytest.raises(MissingDataError, match=f"^{re.escape(message)}$"):
        perturbation_pages(Store(make.root))
