from __future__ import annotations

import re

import numpy as np
import pytest

from bcos_eval.reports.figures.aggatt import aggatt_pages, shared_limit
from bcos_eval.reports.figures.panels import MissingDataError
from bcos_eval.reports.figures.style import figure_style
from bcos_eval.reports.results import Results

N_BINS = 6


def pages(make):
    with figure_style():
        drawn = aggatt_pages(Results.unchecked([make.root]))
        for page in drawn:
            page.figure.draw_without_rendering()
    return {page.name: page.figure for page in drawn}


def panels(figure):
    """The axes of a page, row by row."""
    return np.array(figure.axes[:-1]).reshape(-1, N_BINS)  # the last is the colour key


def shown(axes):
    return np.asarray(axes.get_images()[0].get_array())


def test_a_method_has_a_row_of_means_on_one_scale_and_one_of_examples(make):
    means = np.random.default_rng(0).random((N_BINS, 8, 8)).astype(np.float32)
    make.aggregate(means=means)
    ((_, figure),) = pages(make).items()
    rows = panels(figure)
    assert rows.shape == (2, N_BINS)
    limit = shared_limit(means)
    for at in range(N_BINS):
        np.testing.assert_allclose(shown(rows[0, at]), means[at].astype(float) / limit, rtol=1e-12)
    assert [axes.get_ylabel() for axes in rows[:, 0]] == ["bcos\nmean", "example"]


def test_panels_are_headed_by_bin_number_of_grids_and_score(make):
    make.aggregate(scores=np.linspace(1, 0, N_BINS), counts=np.array([1, 2, 22, 22, 2, 1]))
    ((_, figure),) = pages(make).items()
    headings = [axes.get_title() for axes in panels(figure)[0]]
    assert headings[0] == "0–2 %, mean of 1\n1.000"
    assert headings[2] == "5–50 %, mean of 22\n0.600"
    assert headings[5] == "98–100 %, mean of 1\n0.000"


def test_the_cell_is_framed(make):
    make.aggregate()
    ((_, figure),) = pages(make).items()
    for axes in figure.axes[:-1]:
        (frame,) = axes.patches
        assert (frame.get_xy(), frame.get_width(), frame.get_height()) == ((-0.5, -0.5), 4, 4)


def test_methods_are_in_their_fixed_order_and_other_metrics_on_another_page(make):
    for method in ("gradcam", "bcos", "random"):
        make.aggregate(method=method)
    make.aggregate(metric="dipart/rao2022", kind="grid2x2-rao2022-dipart")
    drawn = pages(make)
    assert sorted(drawn) == [
        "aggatt-shapes-bcos_resnet18-difull_rao2022-grid2x2-rao2022-difull",
        "aggatt-shapes-bcos_resnet18-dipart_rao2022-grid2x2-rao2022-dipart",
    ]
    labels = [axes.get_ylabel() for axes in panels(drawn[sorted(drawn)[0]])[::2, 0]]
    assert labels == ["bcos\nmean", "gradcam\nmean", "random\nmean"]


def test_other_weights_of_a_model_are_another_page(make):
    make.aggregate(weights="w1")
    make.aggregate(weights="w2")
    assert [name.rpartition("-")[2] for name in pages(make)] == ["w1", "w2"]


def test_the_scale_ends_at_the_value_at_995_thousandths():
    values = np.arange(1000, dtype=np.float32).reshape(10, 10, 10)
    assert shared_limit(values) == 995
    sparse = np.zeros((6, 20, 20), dtype=np.float32)
    assert shared_limit(sparse) == 1
    sparse[0, 0, 0] = 3
    assert shared_limit(sparse) == 3


def test_nothing_stored_says_what_to_do(make):
    message = (
        f"figure 'aggatt': '{make.root}' holds no aggregate attributions; make them with `bcos-eval aggatt "
        f"--model MODEL --metric difull --out {make.root}`."
    )
    with pytest.raises(MissingDataError, match=f"^{re.escape(message)}$"):
        aggatt_pages(Results.unchecked([make.root]))
