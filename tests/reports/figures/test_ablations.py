from __future__ import annotations

import numpy as np
import pytest

from bcos_eval.errors import InputError
from bcos_eval.reports.figures.ablations import b_exponent_pages, norm_pages
from bcos_eval.reports.figures.panels import MissingDataError
from bcos_eval.reports.figures.style import figure_style
from bcos_eval.reports.results import Results

EXPONENTS = [1, 1.25, 1.5, 2, 2.5]
HEAD = "b,norm,val_top1,metric,mean,low,high,n"


@pytest.fixture
def folder(tmp_path):
    home = tmp_path / "b_exponent"
    home.mkdir()
    lines = [
        f"{b},{norm},{0.9 - b / 50},{metric},{0.4 + b / 10},{0.35 + b / 10},{0.45 + b / 10},90"
        for b in EXPONENTS
        for norm in ("uncentred", "centred")
        for metric in ("grid_pg/bcos_v2", "energy_pg/default")
    ]
    (home / "scores.csv").write_text("\n".join([HEAD, *lines]))
    return home


def drawn(folder, function):
    with figure_style():
        (page,) = function(Results.unchecked([folder]))
        page.figure.draw_without_rendering()
    return page


def test_accuracy_and_each_metric_are_drawn_over_b_with_a_line_per_norm(folder):
    axes = drawn(folder, b_exponent_pages).figure.axes
    assert [len(axis.get_lines()) for axis in axes] == [2, 2, 2]
    for line in axes[0].get_lines():
        np.testing.assert_allclose(line.get_ydata(), 90 - 2 * np.array(EXPONENTS))
    for line in axes[1].get_lines():
        np.testing.assert_allclose(line.get_xdata(), EXPONENTS)
        np.testing.assert_allclose(line.get_ydata(), 0.4 + np.array(EXPONENTS) / 10)
    assert len(axes[1].collections) == 2 * len(EXPONENTS)


def test_published_values_stand_beside_with_their_source(folder):
    published = folder.parent / "published"
    published.mkdir()
    (published / "b.csv").write_text(
        "model,dataset,metric,preset,settings,quantity,value,n,source\n"
        "net,cifar10,top1,,b=2,mean,0.93,10000,table 1\n"
        "net,cifar10,top1,,b=1,mean,0.91,10000,table 1\n"
        "other,imagenet,top1,,,mean,0.5,50000,elsewhere\n"
    )
    page = drawn(folder, b_exponent_pages)
    (line,) = (line for line in page.figure.axes[0].get_lines() if line.get_label() == "published, cifar10")
    assert line.get_xdata().tolist() == [1, 2]
    np.testing.assert_allclose(line.get_ydata(), [91, 93])
    assert page.caption.endswith(" Published: table 1.")


def test_norms_stand_side_by_side_for_each_exponent_that_has_several(folder):
    axes = drawn(folder, norm_pages).figure.axes
    assert [label.get_text() for label in axes[0].get_xticklabels()] == ["centred", "uncentred"]
    assert len(axes[0].get_lines()) == len(EXPONENTS)


def test_a_table_without_a_column_is_refused(folder):
    (folder / "scores.csv").write_text("b,norm\n1,x\n")
    with pytest.raises(InputError, match="lacks val_top1, metric, mean, low, high, n; it needs b, norm"):
        b_exponent_pages(Results.unchecked([folder]))


@pytest.mark.parametrize("function", [b_exponent_pages, norm_pages])
def test_without_a_table_it_is_said_what_is_needed(tmp_path, function):
    with pytest.raises(MissingDataError, match=r"it is drawn from a folder with a table 'scores.csv'"):
        function(Results.unchecked([tmp_path]))
