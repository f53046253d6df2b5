from __future__ import annotations

import re
from xml.etree import ElementTree

import pandas as pd

from bcos_eval.reports.tables.table import LEADERBOARD_COLUMNS, readable_columns, render

NAN = float("nan")
TABLE = pd.DataFrame(
    [
        (
            "toy",
            "m",
            "w",
            "ixg",
            "grid_pg",
            "bcos_v2",
            90,
            0.12345,
            0.1,
            0.2,
            0.1,
            0.05,
            0.2,
            1 / 9,
            3,
            1,
            0.5,
            "higher",
        ),
        ("toy", "m", "w", "a|b", "x", "<y>", 0, NAN, NAN, NAN, NAN, NAN, NAN, NAN, 0, 0, NAN, "lower"),
    ],
    columns=list(LEADERBOARD_COLUMNS),
).to_dict("records")


def test_csv_has_all_columns_unrounded():
    lines = render(TABLE, "csv").splitlines()
    assert lines[0] == ",".join(LEADERBOARD_COLUMNS)
    assert "0.12345" in lines[1]


def test_markdown_is_aligned_rounded_and_says_which_direction_is_better():
    assert render(TABLE, "md", full=True) == (
        "| dataset | model | method | metric            |  n |  mean |  95 % interval | median | chance | zero "
        "| nonfinite | s/unit |\n"
        "| ------- | ----- | ------ | ----------------- | -: | ----: | -------------: | -----: | -----: | ---: "
        "| --------: | -----: |\n"
        "| toy     | m     | ixg    | grid_pg/bcos_v2 ↑ | 90 | 0.123 | [0.100, 0.200] |  0.100 |  0.111 |    3 "
        "|         1 |  0.500 |\n"
        "| toy     | m     | a\\|b   | x/<y> ↓           |  0 |     – |         [–, –] |      – |      – |    0 "
        "|         0 |      – |\n"
    )


def test_html_is_escaped():
    text = render(TABLE, "html")
    assert "<td>x/&lt;y&gt; ↓</td>" in text
    assert text.count("<tr>") == 3


def test_html_is_a_whole_page_that_loads_nothing():
    text = render(TABLE, "html", full=True)
    page = ElementTree.fromstring(re.sub(r"<!doctype html>|<meta[^>]*>", "", text))
    assert [len(row) for row in page.iter("tr")] == [12, 12, 12]
    assert [cell.text for cell in page.iter("td") if cell.get("class") == "number"][:2] == ["90", "0.123"]
    assert re.findall(r"https?:|src=|href=", text) == []


def test_counts_beyond_the_contract_are_printed_but_not_written_to_csv():
    counts = ({"n_constant": 7, "n_empty": 0, "n_skipped": 0}, {"n_constant": 0, "n_empty": 0, "n_skipped": 2})
    counted = [{**row, **own} for row, own in zip(TABLE, counts, strict=True)]
    header, _, first, second = render(counted, "md", full=True).splitlines()
    assert re.split(r" +\| +", header)[-6:] == ["zero", "nonfinite", "constant", "empty", "skipped", "s/unit |"]
    assert re.split(r" +\| +", first)[-4:-1] == ["7", "0", "0"]
    assert re.split(r" +\| +", second)[-4:-1] == ["0", "0", "2"]
    assert render(counted, "csv") == render(TABLE, "csv")


def test_rare_columns_are_left_out_and_counts_where_nothing_is_counted():
    assert list(readable_columns(TABLE)) == [
        "dataset", "model", "method", "metric", "n", "mean", "95 % interval", "chance", "zero", "nonfinite",
    ]  # fmt: skip
    plain = [{**row, "n_zero": 0, "n_nonfinite": 0} for row in TABLE]
    assert list(readable_columns(plain))[-1] == "chance"
    assert {"median", "zero", "nonfinite", "s/unit"} <= set(readable_columns(plain, full=True))


def test_rules_of_narrow_columns_still_say_where_they_are_aligned():
    rule = render([{**TABLE[0], "n": 5}], "md").splitlines()[1]
    assert "| -: |" in rule


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
