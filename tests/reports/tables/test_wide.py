from __future__ import annotations

import csv
import io

from bcos_eval.reports.tables.table import Best, readable_columns
from bcos_eval.reports.tables.wide import TIES_NOTE, render_wide, wide_columns

NAN = float("nan")


def test_a_row_per_method_and_a_column_per_metric(make_row):
    rows = [
        make_row("bcos", "grid_pg/bcos_v2", 0.9),
        make_row("bcos", "entropy/positive", 0.3, direction="lower"),
        make_row("ixg", "grid_pg/bcos_v2", NAN),
        make_row("lime", "entropy/positive", 0.2, direction="lower"),
    ]
    assert render_wide(rows, "md") == (
        "| dataset | model | method | grid_pg/bcos_v2 ↑ | entropy/positive ↓ |\n"
        "| ------- | ----- | ------ | ----------------: | -----------------: |\n"
        "| toy     | m     | bcos   |         **0.900** |              0.300 |\n"
        "| toy     | m     | ixg    |                 – |                    |\n"
        "| toy     | m     | lime   |                   |          **0.200** |\n" + TIES_NOTE
    )


def test_the_best_is_that_of_each_model_and_ties_hold_its_mean(make_row):
    rows = [
        make_row("bcos", "x/y", 0.90, model="a"),
        make_row("ixg", "x/y", 0.895, model="a"),
        make_row("lime", "x/y", 0.80, model="a"),
        make_row("ixg", "x/y", 0.10, model="b"),
    ]
    cells = wide_columns(rows)["x/y ↑"]
    assert [str(cell) for cell in cells] == ["0.900", "~0.895", "0.800", "0.100"]
    assert [isinstance(cell, Best) for cell in cells] == [True, False, False, True]
    assert wide_columns(rows, full=True)["x/y ↑"][2] == "0.800 [0.790, 0.810]"


def test_equal_means_are_all_the_best(make_row):
    cells = wide_columns([make_row("bcos", "x/y", 0.5), make_row("ixg", "x/y", 0.5)])["x/y ↑"]
    assert all(isinstance(cell, Best) for cell in cells)


def test_csv_has_means_in_full_precision(make_row):
    rows = [make_row("bcos", "x/y", 1 / 3), make_row("ixg", "z/w", 0.25)]
    first, second = csv.DictReader(io.StringIO(render_wide(rows, "csv")))
    assert first == {
        "dataset": "toy",
        "model": "m",
        "weights": "w",
        "method": "bcos",
        "x/y": "0.3333333333333333",
        "z/w": "",
    }
    assert second["z/w"] == "0.25"


def test_two_weights_of_a_model_are_told_apart_wherever_they_occur_together(make_row):
    rows = [
        make_row("bcos", "x/y", 0.5, weights="0123456789abcdef"),
        make_row("bcos", "x/y", 0.1, weights="random"),
        make_row("bcos", "x/y", 0.1, model="n"),
    ]
    expected = ["m [0123456789ab]", "m [random]", "n"]
    assert list(wide_columns(rows)["model"]) == expected
    assert list(readable_columns(rows)["model"]) == expected


def test_latex_is_escaped_ruled_and_bold(make_row):
    rows = [make_row("a_b & 50 %", "x/y", 0.5), make_row("ixg", "x/y", 0.1)]
    assert render_wide(rows, "latex") == (
        "% needs \\usepackage{booktabs}\n"
        "\\begin{tabular}{lllr}\n"
        "\\toprule\n"
        "dataset & model & method & x/y $\\uparrow$ \\\\\n"
        "\\midrule\n"
        "toy & m & a\\_b \\& 50 \\% & \\textbf{0.500} \\\\\n"
        "toy & m & ixg & 0.100 \\\\\n"
        "\\bottomrule\n"
        "\\end{tabular}\n"
    )


def test_html_is_escaped_and_bold(make_row):
    text = render_wide([make_row("<script>", "x/y", 0.5)], "html")
    assert "<td>&lt;script&gt;</td>" in text
    assert '<td class="number"><b>0.500</b></td>' in text
