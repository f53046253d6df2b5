from __future__ import annotations

import csv
import io

from bcos_eval.reports.comparison.standings import MeanRank, Standings, labels_of
from bcos_eval.reports.tables.selection import controls_last
from bcos_eval.reports.tables.table import readable_columns
from bcos_eval.reports.tables.wide import WIDE_NOTE, render_wide, wide_columns, wide_csv

NAN = float("nan")
NOTHING = Standings(frozenset(), frozenset(), {})


def stand(best=(), tied=(), ranks=None):
    return Standings(frozenset(map(labels_of, best)), frozenset(map(labels_of, tied)), ranks or {})


def test_a_row_per_method_and_a_column_per_metric(make_row):
    rows = [
        make_row("bcos", "grid_pg/bcos_v2", 0.9),
        make_row("bcos", "entropy/positive", 0.3, direction="lower", chance=NAN),
        make_row("ixg", "grid_pg/bcos_v2", NAN),
        make_row("lime", "entropy/positive", 0.2, direction="lower", chance=NAN),
    ]
    ranks = {
        ("toy", "m", "w", "bcos"): MeanRank(1.5, 1.0, 2.0, 2),
        ("toy", "m", "w", "lime"): MeanRank(1, NAN, NAN, 1),
    }
    standings = stand([rows[0], rows[3]], [rows[1]], ranks)
    assert render_wide(rows, "md", standings) == (
        "| dataset | model | method       |      mean rank | grid_pg/bcos_v2 ↑ | entropy/positive ↓ |\n"
        "| ------- | ----- | ------------ | -------------: | ----------------: | -----------------: |\n"
        "| toy     | m     | bcos         | 1.5 [1.0, 2.0] |         **0.900** |             ~0.300 |\n"
        "| toy     | m     | ixg          |              – |                 – |                    |\n"
        "| toy     | m     | lime         |            1.0 |                   |          **0.200** |\n"
        "| toy     |       | chance level |                |             0.111 |                  – |\n\n"
        + WIDE_NOTE
    )


def test_intervals_are_added_when_everything_is_asked_for(make_row):
    row = make_row("lime", "x/y", 0.8)
    assert wide_columns([row], NOTHING, full=True)["x/y ↑"][0] == "0.800 [0.790, 0.810]"


def test_controls_are_named_and_stand_last_of_their_model(make_row):
    rows = [{**make_row("center", "x/y", 0.9), "is_control": True}, make_row("lime", "x/y", 0.5)]
    columns = wide_columns(controls_last(rows), NOTHING)
    assert list(columns["method"]) == ["lime", "center (control)", "chance level"]


def test_chance_levels_are_told_apart_where_models_differ_in_them(make_row):
    rows = [make_row("a", "x/y", 0.5, model="m", chance=0.1), make_row("a", "x/y", 0.5, model="n", chance=0.2)]
    columns = wide_columns(rows, NOTHING)
    assert list(columns["model"]) == ["m", "n", "m", "n"]
    assert list(columns["x/y ↑"])[2:] == ["0.100", "0.200"]


def test_csv_has_means_in_full_precision(make_row):
    rows = [make_row("bcos", "x/y", 1 / 3), make_row("ixg", "z/w", 0.25)]
    first, second = csv.DictReader(io.StringIO(wide_csv(rows)))
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
    assert list(wide_columns(rows, NOTHING)["model"])[:3] == expected
    assert list(readable_columns(rows)["model"]) == expected


def test_latex_is_escaped_ruled_and_bold(make_row):
    rows = [make_row("a_b & 50 %", "x/y", 0.5, chance=NAN), make_row("ixg", "x/y", 0.1, chance=NAN)]
    assert render_wide(rows, "latex", stand(rows[:1], rows[1:])) == (
        "% needs \\usepackage{booktabs}\n"
        "\\begin{tabular}{lllrr}\n"
        "\\toprule\n"
        "dataset & model & method & mean rank & x/y $\\uparrow$ \\\\\n"
        "\\midrule\n"
        "toy & m & a\\_b \\& 50 \\% & -- & \\textbf{0.500} \\\\\n"
        "toy & m & ixg & -- & \\textasciitilde{}0.100 \\\\\n"
        "\\bottomrule\n"
        "\\end{tabular}\n"
    )


def test_html_is_escaped_and_bold(make_row):
    row = make_row("<script>", "x/y", 0.5)
    text = render_wide([row], "html", stand([row]))
    assert "<td>&lt;script&gt;</td>" in text
    assert '<td class="number"><b>0.500</b></td>' in text
