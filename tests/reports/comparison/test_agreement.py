from __future__ import annotations

import io
import json

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from bcos_eval.errors import InputError
from bcos_eval.reports.comparison.agreement import agreement_text, agreements, similar_first
from bcos_eval.reports.figures.agreement import agreement_pages
from bcos_eval.reports.figures.panels import MissingDataError
from bcos_eval.reports.figures.style import figure_style
from bcos_eval.reports.results import load_results

RNG = np.random.default_rng(0)
METHODS = ["bcos", "ixg", "grad", "lime", "random"]


def board(**means):
    """A leaderboard from the methods' means by `metric__preset` or `metric__preset__direction`."""
    rows = []
    for name, values in means.items():
        metric, preset, direction = (*name.split("__"), "higher")[:3]
        rows += [
            {"dataset": "toy", "model": "m", "weights": "w", "method": method, "metric": metric, "preset": preset,
             "pool": "", "mean": value, "direction": direction}
            for method, value in zip(METHODS, values, strict=False)
        ]  # fmt: skip
    return pd.DataFrame(rows)


def value_of(agreement, name, a, b):
    i, j = (next(k for k, label in enumerate(agreement.labels) if label.startswith(one)) for one in (a, b))
    return getattr(agreement, name)[i, j]


def test_correlations_are_scipys():
    one, other = RNG.random(5), RNG.random(5)
    (found,) = agreements(board(x__p=one, y__p=other))
    assert found.about == ("toy", "m")
    assert value_of(found, "spearman", "x", "y") == pytest.approx(stats.spearmanr(one, other).statistic, abs=1e-12)
    assert value_of(found, "kendall", "x", "y") == pytest.approx(stats.kendalltau(one, other).statistic, abs=1e-12)
    assert value_of(found, "n_methods", "x", "y") == 5


def test_a_metric_where_lower_is_better_is_turned():
    (found,) = agreements(board(x__p=[1, 2, 3, 4], y__p__lower=[0.4, 0.3, 0.2, 0.1]))
    assert sorted(found.labels) == ["x/p ↑", "y/p ↓"]
    assert np.array_equal(found.spearman, np.ones((2, 2)))
    assert np.array_equal(found.kendall, np.ones((2, 2)))


def test_methods_that_one_metric_lacks_do_not_count():
    (found,) = agreements(board(x__p=[1, 2, 3, 4], y__p=[1, 2, 3], z__p=[1, float("nan"), 3]))
    assert value_of(found, "n_methods", "x", "y") == 3
    assert value_of(found, "n_methods", "x", "z") == 2
    assert np.isnan(value_of(found, "spearman", "x", "z"))


def test_a_metric_that_tells_no_methods_apart_agrees_with_nothing():
    (found,) = agreements(board(x__p=[1, 2, 3], y__p=[0.1 + 0.2, 0.3, 0.3]))
    assert np.isnan(value_of(found, "spearman", "x", "y"))
    assert np.isnan(value_of(found, "kendall", "x", "y"))


def test_controls_can_be_left_out():
    table = board(x__p=[3, 2, 1, 4, 0], y__p=[1, 2, 3, 4, 0])
    (found,) = agreements(table, without={"random"})
    assert value_of(found, "n_methods", "x", "y") == 4


def test_models_are_compared_by_each_metric():
    table = pd.concat(
        [board(x__p=[1, 2, 3], y__p=[1, 2, 3]), board(x__p=[1, 3, 2], y__p=[3, 2, 1]).assign(model="n")]
    )
    by_metric = {found.about[1]: found for found in agreements(table, "models")}
    assert by_metric["x/p"].labels == ("m", "n")
    assert by_metric["x/p"].spearman[0, 1] == pytest.approx(0.5)
    assert by_metric["y/p"].spearman[0, 1] == pytest.approx(-1)


def test_fewer_than_three_methods_are_refused():
    with pytest.raises(InputError) as caught:
        agreements(board(x__p=[1, 2], y__p=[1, 2]))
    assert str(caught.value) == (
        "no two metrics were run with 3 methods in common, without which a rank correlation says nothing; run "
        "more with --method and --metric."
    )


def test_rankings_that_agree_lie_side_by_side():
    groups = np.array([0, 1, 0, 1, 0, 1])
    correlations = np.where(groups[:, None] == groups, 0.9, -0.5)
    order = groups[similar_first(correlations)]
    assert (np.diff(order) != 0).sum() == 1


RANKED = {"x__p": [1, 2, 3, 4], "y__p__lower": [1, 3, 2, 4], "z__p": [1, 2, 3]}


def test_markdown_has_spearman_below_the_diagonal_and_kendall_above():
    text = agreement_text(agreements(board(x__p=[1, 2, 3, 4], y__p=[1, 3, 2, 4])), "md")
    lines = text.splitlines()
    assert lines[0] == "### toy, m (4 methods)"
    assert lines[2] == "| no. | ranking by |    1 |    2 |"
    assert lines[4:6] == ["|   1 | x/p ↑      |      | 0.67 |", "|   2 | y/p ↑      | 0.80 |      |"]


def test_numbers_of_methods_that_differ_stand_in_the_cells():
    text = agreement_text(agreements(board(**RANKED)), "md")
    assert "### toy, m (3 to 4 methods)" in text
    assert "-0.80 (4)" in text
    assert "1.00 (3)" in text


def test_csv_and_json_have_a_row_per_pair():
    found = agreements(board(**RANKED))
    rows = pd.read_csv(io.StringIO(agreement_text(found, "csv")))
    assert len(rows) == 3
    loaded = json.loads(agreement_text(found, "json"))
    assert [row["spearman"] for row in loaded] == pytest.approx(rows["spearman"].tolist())
    assert sorted(row["n_methods"] for row in loaded) == [3, 3, 4]


def test_the_figure_writes_each_correlation_into_its_cell(make):
    ranks = {"grid_pg": [0.1, 0.2, 0.3, 0.4], "energy_pg": [0.1, 0.3, 0.2, 0.4]}
    for metric, means in ranks.items():
        for method, mean in zip(METHODS, means, strict=False):
            make.units([mean] * 4, method=method, metric=metric)
    with figure_style():
        (page,) = agreement_pages(load_results(make.root))
        page.figure.draw_without_rendering()
    assert page.name == "agreement-shapes-bcos_resnet18"
    axes = page.figure.axes[0]
    cells = {text.get_position(): text.get_text() for text in axes.texts}
    assert cells == {(0, 1): "0.80", (1, 0): "0.67"}
    assert axes.get_images()[0].get_clim() == (-1, 1)
    assert page.figure.texts[1].get_text().startswith("shapes, 4 methods\n")


def test_the_figure_needs_three_methods(make):
    make.units([0.1, 0.2])
    with pytest.raises(
        MissingDataError, match=r"^figure 'agreement': in '.*' no two metrics were run with 3 methods"
    ):
        agreement_pages(load_results(make.root))
