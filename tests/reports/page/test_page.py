from __future__ import annotations

import json
import re
import shutil
import subprocess

import numpy as np
import pytest

from bcos_eval.cli.main import main
from bcos_eval.errors import InputError
from bcos_eval.reports.page.content import content_of, map_colours, on_white
from bcos_eval.reports.page.page import page_html, script_json
from bcos_eval.reports.results import Results

HOSTILE = "<script>document.title='run'</script>"


def row(method, metric, mean, *, direction="higher", model="net", dataset="data", control=False, standing=""):
    return {
        "dataset": dataset,
        "model": model,
        "method": method,
        "metric": metric,
        "direction": direction,
        "n": 40,
        "planned": 60,
        "stimuli": 40,
        "control": control,
        "standing": standing,
        "mean": mean,
        "ci_low": None if mean is None else mean - 0.05,
        "ci_high": None if mean is None else mean + 0.05,
        "median": mean,
        "chance": 0.1,
        "seconds_per_unit": 0.01,
        "left_out": {"n_zero": 2},
    }


def content(rows, **changes):
    run = {
        "folder": HOSTILE,
        "started": "2026-11-26",
        "outcome": "finished",
        "seconds": 1.5,
        "asked": {"models": ["net"], "seed": 0},
        "dataset": {"name": "data", "digest": "d"},
        "weights": {"net": "w"},
        "versions": {"torch": "2"},
        "machine": {"cores": 2},
        "notes": [HOSTILE],
    }
    return {
        "rows": rows,
        "ranks": [],
        "curves": [],
        "gallery": [],
        "runs": [run],
        "notes": [],
        "few": 30,
        "styles": {},
        **changes,
    }


ROWS = [
    row("bcos", "grid_pg/bcos_v2", 0.9, standing="best"),
    row("ixg", "grid_pg/bcos_v2", 0.4),
    row(HOSTILE, "grid_pg/bcos_v2", 0.6, dataset=HOSTILE),
    row("bcos", "pixel_deletion/default", 0.2, direction="lower"),
    row("ixg", "pixel_deletion/default", 0.5, direction="lower"),
]


def test_texts_from_data_are_shown_and_not_run():
    html = page_html(content(ROWS))
    assert HOSTILE not in html
    assert html.count("<script") == 2  # the data and the page's own


def test_the_data_in_the_page_are_the_content():
    made = content(ROWS)
    text = re.search(r'<script id="data" type="application/json">(.*?)</script>', page_html(made), re.DOTALL)[1]
    assert json.loads(text)["rows"] == json.loads(json.dumps(made["rows"]))


def test_nothing_in_the_data_ends_the_script_element():
    assert "<" not in script_json({"a": "</script><!--"})
    assert json.loads(script_json({"a": "</script>&<!--"})) == {"a": "</script>&<!--"}


def test_the_page_asks_for_nothing_from_elsewhere():
    html = page_html(content(ROWS))
    assert not re.search(r"(?:src|href)=[\"']?(?:https?:)?//", html)
    assert "default-src 'none'" in html


def test_maps_are_red_for_and_blue_against_the_class_and_white_where_nothing_is():
    red, white, blue = map_colours(np.array([[1.0, 0.0, -1.0]]))[0].astype(int)
    assert red[0] > red[2]
    assert blue[2] > blue[0]
    assert white.tolist() == [255, 255, 255]


def test_maps_without_a_number_are_white():
    assert (map_colours(np.full((2, 2), np.nan)) == 255).all()


def test_transparent_pixels_are_paper():
    rgba = np.array([[[10, 20, 30, 0], [10, 20, 30, 255]]], dtype=np.uint8)
    assert on_white(rgba).tolist() == [[[255, 255, 255], [10, 20, 30]]]


def test_a_page_of_another_ending_is_refused(tmp_path, capsys):
    with pytest.raises(SystemExit) as stopped:
        main(["report", str(tmp_path), "--out", str(tmp_path / "page.pdf")])
    assert stopped.value.code == 2
    assert "must end in .html; rename it." in capsys.readouterr().err


def test_a_folder_without_results_is_refused(tmp_path):
    with pytest.raises(InputError, match="holds no results"):
        content_of(Results.of([tmp_path]))


def test_the_page_shows_the_standings_of_the_wide_table(make):
    spread = np.linspace(-0.2, 0.2, 60)
    make.units(0.5 + spread, method="bcos")
    make.units(0.5 - spread - 1e-3, method="ixg")
    make.units(0.1 + spread, method="lime")
    make.units(0.9 + 0 * spread, method="random", is_control=True)
    made = content_of(Results.of([make.root]))
    assert {one["method"]: one["standing"] for one in made["rows"]} == {
        "bcos": "best",
        "ixg": "tied",
        "lime": "",
        "random": "",
    }
    assert {one["method"]: one["rank"] for one in made["ranks"]} == {"bcos": 1.0, "ixg": 2.0, "lime": 3.0}


CHECK = """
<script>
addEventListener("error", (event) => document.title = "error " + event.message);
addEventListener("load", () => {
  const table = document.getElementById("table");
  const heading = [...table.querySelectorAll("th button")].find((one) => one.textContent.startsWith("grid_pg"));
  heading.click();
  const first = () => table.querySelector("tbody tr td:nth-child(3)").textContent;
  const best = first();
  const select = document.getElementById("filter-method");
  select.value = "ixg"; select.dispatchEvent(new Event("change"));
  const wide = document.documentElement.scrollWidth > document.documentElement.clientWidth;
  if (!document.title.startsWith("error")) document.title = ["done", best, first(), wide].join("|");
});
</script>
"""


@pytest.mark.skipif(shutil.which("chromium") is None, reason="no headless Chromium on this machine")
def test_sorting_and_filtering_work_in_a_browser_without_errors_or_sideways_scroll(tmp_path):
    page = tmp_path / "page.html"
    html = page_html(content(ROWS)).replace("<head>", f"<head>{CHECK}", 1)
    page.write_text(html, encoding="utf-8")
    command = [
        "chromium", "--headless", "--no-sandbox", "--disable-gpu", "--window-size=390,800",
        f"--user-data-dir={tmp_path / 'profile'}", "--virtual-time-budget=3000", "--dump-dom", page.as_uri(),
    ]  # fmt: skip
    dom = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True).stdout
    assert "<title>done|bcos|ixg|false</title>" in dom
