from __future__ import annotations

import pandas as pd
import pytest

from bcos_eval.errors import InputError
from bcos_eval.reports.comparison.contender_names import named_pairs, rows_of_datasets, rows_of_metrics

CELLS = pd.DataFrame(
    [
        ("bcos_r", "bcos"),
        ("bcos_r", "ixg"),
        ("r", "ixg"),
        ("r", "gradcam"),
        ("v", "rollout"),
        ("w", "lime(n_samples=10)"),
    ],
    columns=["model", "method"],
)


def labels(first, second):
    return [(a.label, b.label) for a, b in named_pairs(CELLS, first, second)]


@pytest.mark.parametrize(
    ("first", "second", "expected"),
    [
        ("bcos_r:bcos", "r:gradcam", [("bcos_r:bcos", "r:gradcam")]),
        ("bcos", "ixg", [("bcos_r:bcos", "bcos_r:ixg")]),
        ("bcos_r", "r", [("bcos_r:ixg", "r:ixg")]),
        ("v", "w", [("v:rollout", "w:lime(n_samples=10)")]),
        ("bcos_r:ixg", "gradcam", [("bcos_r:ixg", "r:gradcam")]),
        ("bcos_r:ixg", "v", [("bcos_r:ixg", "v:rollout")]),
        ("v", "gradcam", [("v:rollout", "r:gradcam")]),
    ],
)
def test_names_stand_for_what_a_reader_would_take_them_for(first, second, expected):
    assert labels(first, second) == expected


@pytest.mark.parametrize(
    ("first", "second", "message"),
    [
        ("bocs", "ixg", "unknown model or method in these results 'bocs'; did you mean bcos or bcos_r?"),
        (
            "r:gradcm",
            "ixg",
            "unknown model or method in these results 'r:gradcm'; did you mean r:gradcam?",
        ),
        ("bcos_r:bcos", "r", "'r' stands for r:gradcam or r:ixg; write one."),
        ("bcos_r:bcos", "ixg", "'ixg' stands for bcos_r:ixg or r:ixg; write one."),
        ("bcos", "gradcam", "no results have both 'bcos' and 'gradcam'; write MODEL:METHOD for each of them."),
        ("ixg", "ixg", "'ixg' cannot be compared with itself; name two different methods or models."),
        ("v", "rollout", "'v' and 'rollout' are both v:rollout; name two different ones."),
    ],
)
def test_names_that_are_not_clear_are_refused(first, second, message):
    with pytest.raises(InputError) as caught:
        named_pairs(CELLS, first, second)
    assert str(caught.value) == message


UNITS = pd.DataFrame(
    [
        ("toy", "grid_pg", "bcos_v2"),
        ("toy", "grid_pg", "bcos_v2(n=2)"),
        ("shapes", "grid_pg", "bcos_v2+shared"),
        ("shapes", "grid_pg", "rao2022"),
        ("shapes", "energy_pg", "default"),
        ("toy", "grid_pg", "bcos_v2(n=2, x=1)"),
    ],
    columns=["dataset", "metric", "preset"],
).assign(full_preset=["grid_pg/bcos_v2"] * 3 + ["grid_pg/rao2022", "energy_pg/default", "grid_pg/other"])


@pytest.mark.parametrize(
    ("names", "rows"),
    [
        ((), [0, 1, 2, 3, 4, 5]),
        (("grid_pg",), [0, 1, 2, 3, 5]),
        (("grid_pg/bcos_v2",), [0, 1, 2]),
        (("grid_pg/bcos_v2(n=2)", "energy_pg"), [1, 4]),
        (("energy_pg,grid_pg/rao2022",), [3, 4]),
        (("grid_pg/bcos_v2(n=2, x=1), energy_pg",), [4, 5]),
    ],
)
def test_a_metric_is_chosen_by_name_preset_or_parameters(names, rows):
    assert rows_of_metrics(UNITS, names).index.tolist() == rows


def test_a_dataset_is_chosen_by_name():
    assert rows_of_datasets(UNITS, ("shapes",)).index.tolist() == [2, 3, 4]
    assert len(rows_of_datasets(UNITS, ())) == len(UNITS)


def test_metrics_and_datasets_without_results_are_refused():
    with pytest.raises(InputError) as caught:
        rows_of_metrics(UNITS, ("energy_gp",))
    assert str(caught.value) == (
        "unknown metric in these results 'energy_gp'; did you mean energy_pg or energy_pg/default?"
    )
    with pytest.raises(InputError, match=r"^unknown dataset in these results 'toi'; did you mean toy\?$"):
        rows_of_datasets(UNITS, ("toi",))
