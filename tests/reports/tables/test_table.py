from __future__ import annotations

import re
from xml.etree import ElementTree

from bcos_eval.reports.tables.table import LEADERBOARD_COLUMNS, UNFINISHED_NOTE, readable_columns, render

NAN = float("nan")
NO_COUNTS = {"n_zero": 0, "n_constant": 0, "n_empty": 0, "n_skipped": 0, "n_failed": 0, "n_nonfinite": 0}
LABELS = {"dataset": "toy", "model": "m", "weights": "w", "pool": ""}
FIRST = {
    **LABELS,
    "method": "ixg",
    "metric": "grid_pg",
    "preset": "bcos_v2",
    "n": 90,
    "n_planned": 90,
    "mean": 0.12345,
    "ci_low": 0.1,
    "ci_high": 0.2,
    "median": 0.1,
    "q25": 0.05,
    "q75": 0.2,
    "chance": 1 / 9,
    **NO_COUNTS,
    "n_zero": 3,
    "n_nonfinite": 1,
    "seconds_per_unit": 0.5,
    "direction": "higher",
}
NUMBERS = ("mean", "ci_low", "ci_high", "median", "q25", "q75", "chance", "seconds_per_unit")
SECOND = {
    **FIRST,
    **dict.fromkeys(NUMBERS, NAN),
    **NO_COUNTS,
    "method": "a|b",
    "metric": "x",
    "preset": "<y>",
    "n": 0,
    "n_planned": None,
    "direction": "lower",
}
TABLE = [FIRST, SECOND]


def test_csv_has_all_columns_unrounded():
    lines = render(TABLE, "csv").splitlines()
    assert lines[0] == ",".join(LEADERBOARD_COLUMNS)
    assert "0.12345" in lines[1]


def test_markdown_is_aligned_rounded_and_says_which_direction_is_better():
    assert render(TABLE, "md", full=True) == (
        "| dataset | model | method | metric            |  n |  mean |  95 % interval | median | chance | zero "
        "| constant | empty | skipped | failed | nonfinite | s/unit |\n"
        "| ------- | ----- | ------ | ----------------- | -: | ----: | -------------: | -----: | -----: | ---: "
        "| -------: | ----: | ------: | -----: | --------: | -----: |\n"
        "| toy     | m     | ixg    | grid_pg/bcos_v2 ↑ | 90 | 0.123 | [0.100, 0.200] |  0.100 |  0.111 |    3 "
        "|        0 |     0 |       0 |      0 |         1 |  0.500 |\n"
        "| toy     | m     | a\\|b   | x/<y> ↓           |  0 |     – |         [–, –] |      – |      – |    0 "
        "|        0 |     0 |       0 |      0 |         0 |      – |\n"
    )


def test_html_is_escaped():
    text = render(TABLE, "html")
    assert "<td>x/&lt;y&gt; ↓</td>" in text
    assert text.count("<tr>") == 3


def test_html_is_a_whole_page_that_loads_nothing():
    text = render(TABLE, "html", full=True)
    page = ElementTree.fromstring(re.sub(r"<!doctype html>|<meta[^>]*>", "", text))
    assert [len(row) for row in page.iter("tr")] == [16, 16, 16]
    assert [cell.text for cell in page.iter("td") if cell.get("class") == "number"][:2] == ["90", "0.123"]
    assert re.findall(r"https?:|src=|href=", text) == []


def test_counts_are_printed_and_written_to_csv():
    counted = [{**FIRST, "n_constant": 7}, {**SECOND, "n_skipped": 2}]
    header, _, first, second = render(counted, "md").splitlines()
    assert re.split(r" +\| +", header)[-4:] == ["zero", "constant", "skipped", "nonfinite |"]
    assert re.split(r" +\| +", first)[-4:] == ["3", "7", "0", "1 |"]
    assert re.split(r" +\| +", second)[-4:] == ["0", "0", "2", "0 |"]
    assert render(counted, "csv").splitlines()[1].endswith(",3,7,0,0,0,1,higher")


def test_the_number_of_planned_units_is_shown_where_it_is_another():
    rows = [{**FIRST, "n_planned": n} for n in (90, 180, None)]
    assert readable_columns(rows)["n"] == ["90", "90 of 180", "90"]
    assert [line.split(",")[8] for line in render(rows, "csv").splitlines()] == ["n_planned", "90", "180", ""]


def test_pools_are_named_where_rows_differ_in_nothing_else():
    rows = [{**FIRST, "pool": pool} for pool in ("own", "0a1b2c3d")]
    assert readable_columns(rows)["metric"] == ["grid_pg/bcos_v2 [own] ↑", "grid_pg/bcos_v2 [0a1b2c3d] ↑"]
    assert readable_columns(rows[:1])["metric"] == ["grid_pg/bcos_v2 ↑"]


def test_rare_columns_are_left_out_and_counts_where_nothing_is_counted():
    assert list(readable_columns(TABLE)) == [
        "dataset", "model", "method", "metric", "n", "mean", "95 % interval", "chance", "zero", "nonfinite",
    ]  # fmt: skip
    plain = [{**row, "n_zero": 0, "n_nonfinite": 0} for row in TABLE]
    assert list(readable_columns(plain))[-1] == "chance"
    assert {"median", "zero", "nonfinite", "s/unit"} <= set(readable_columns(plain, full=True))


def test_rules_of_narrow_columns_still_say_where_they_are_aligned():
    rule = render([{**TABLE[0], "n": 5, "n_planned": 5}], "md").splitlines()[1]
    assert "| -: |" in rule


def test_an_unfinished_row_says_that_it_holds_the_first_stimuli():
    row = {**TABLE[0], "n": 50, "n_planned": 90, "stored": 50, "was_to_stop": False}
    text = render([row], "md")
    assert "50 of 90" in text
    assert text.endswith(f"|\n\n{UNFINISHED_NOTE}")
    for finished in ({"stored": 90}, {"was_to_stop": True}, {"n_planned": None}):
        assert UNFINISHED_NOTE not in render([{**row, **finished}], "md")


def test_rows_of_few_stimuli_are_marked_and_the_mark_is_explained():
    few = [{**row, "n_stimuli": n} for row, n in zip(TABLE, (10, 30), strict=True)]
    assert readable_columns(few)["n"] == ["90*", "0"]
    note = "* fewer than 30 stimuli: intervals are wide, orders of means uncertain."
    assert render(few, "md").endswith(f"|\n\n{note}\n")
    page = ElementTree.fromstring(re.sub(r"<!doctype html>|<meta[^>]*>", "", render(few, "html")))
    assert [paragraph.text for paragraph in page.iter("p")] == [note]
    assert render(few, "latex").endswith(f"\n\n{note}\n")
    assert render(few, "csv") == render(TABLE, "csv")
    assert note not in render(few[1:], "md")
