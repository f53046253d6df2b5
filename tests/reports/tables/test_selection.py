from __future__ import annotations

import pytest

from bcos_eval.errors import InputError
from bcos_eval.reports.tables.selection import parse_only, selected, sorted_by

NAN = float("nan")
# Names without parameters are stored with the scores; a name may hold a bracket itself.
NAMES = {"bcos": "bcos", "ixg": "ixg", "lime(n_samples=10,map=top5)": "lime"}


@pytest.fixture
def rows(make_row):
    """Two models, three methods, two metrics of which one is better low."""
    means = {"bcos": (0.9, 0.2), "ixg": (0.5, 0.1), "lime(n_samples=10,map=top5)": (0.7, NAN)}
    return [
        make_row(method, metric, mean, model=model, direction=direction, method_name=NAMES[method])
        for model in ("bcos_a", "b")
        for method, of_method in means.items()
        for metric, mean, direction in zip(
            ("grid_pg/bcos_v2", "entropy/positive"), of_method, ("higher", "lower"), strict=True
        )
    ]


def labels(rows, *keys):
    return [tuple(row[key] for key in keys) for row in rows]


def refusal(function, *arguments):
    with pytest.raises(InputError) as caught:
        function(*arguments)
    return str(caught.value)


def test_choices_are_parted_where_a_key_follows():
    chosen = parse_only(["method=lime(n_samples=10,map=top5),metric=grid_pg", "model=bcos_*"])
    assert chosen == {"method": ["lime(n_samples=10,map=top5)"], "metric": ["grid_pg"], "model": ["bcos_*"]}


def test_choices_of_another_form_are_refused():
    expected = "--only 'bcos' is not of the form KEY=VALUE, for example model=bcos_resnet50."
    assert refusal(parse_only, ["bcos"]) == expected
    expected = "unknown key in --only 'metod'; did you mean method or model or metric?"
    assert refusal(parse_only, ["metod=bcos"]) == expected


def test_every_key_narrows_and_values_of_a_key_add_up(rows):
    kept = selected(rows, parse_only(["model=bcos_*,metric=grid_pg,method=bcos,method=ixg"]))
    assert labels(kept, "model", "method", "metric") == [
        ("bcos_a", "bcos", "grid_pg"),
        ("bcos_a", "ixg", "grid_pg"),
    ]
    assert selected(rows, {}) == rows


@pytest.mark.parametrize("value", ["lime", "lime*", "lime(n_samples=10,map=top5)"])
def test_a_method_is_meant_with_or_without_its_parameters(rows, value):
    assert len(selected(rows, {"method": [value]})) == 4


@pytest.mark.parametrize("value", ["grid_pg", "grid_pg/bcos_v2", "grid_*"])
def test_a_metric_is_meant_with_or_without_its_preset(rows, value):
    assert len(selected(rows, {"metric": [value]})) == 6


def test_what_no_row_has_is_refused_with_what_there_is(rows):
    message = refusal(selected, rows, {"method": ["ixgg"]})
    assert message == "unknown method in these results 'ixgg'; did you mean ixg?"


def test_rows_are_ordered_best_first_and_stay_together(rows):
    ordered = [row for row in sorted_by(rows, "grid_pg") if row["model"] == "b"]
    assert labels(ordered, "method", "metric") == [
        ("bcos", "grid_pg"),
        ("bcos", "entropy"),
        ("lime(n_samples=10,map=top5)", "grid_pg"),
        ("lime(n_samples=10,map=top5)", "entropy"),
        ("ixg", "grid_pg"),
        ("ixg", "entropy"),
    ]


def test_low_is_first_where_low_is_better_and_undefined_last(rows):
    ordered = sorted_by(rows, "entropy")
    assert list(dict.fromkeys(row["method"] for row in ordered)) == ["ixg", "bcos", "lime(n_samples=10,map=top5)"]


def test_a_metric_to_sort_by_must_be_there_and_be_one(rows, make_row):
    message = refusal(sorted_by, rows, "grid_gp")
    assert message == "unknown metric in these results 'grid_gp'; did you mean grid_pg/bcos_v2?"
    further = [*rows, make_row("bcos", "grid_pg/rao2022", 0.3)]
    message = refusal(sorted_by, further, "grid_pg")
    assert message == "--sort 'grid_pg' stands for grid_pg/bcos_v2, grid_pg/rao2022; name one of them."
    assert len(sorted_by(further, "grid_pg/rao2022")) == len(further)


def test_short_names_are_those_stored_and_not_what_stands_before_a_bracket(make_row):
    rows = [
        make_row("mine(left)(k=2)", "grid_pg/bcos_v2(n=2)", 0.5, method_name="mine(left)", preset_name="bcos_v2"),
        make_row("mine(right)", "grid_pg/bcos_v2", 0.4, method_name="mine(right)", preset_name="bcos_v2"),
    ]
    assert labels(selected(rows, {"method": ["mine(left)"]}), "method") == [("mine(left)(k=2)",)]
    assert len(selected(rows, {"metric": ["grid_pg/bcos_v2"]})) == 2
    assert refusal(selected, rows, {"method": ["mine"]}).startswith("unknown method in these results 'mine'")
