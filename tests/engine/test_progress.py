"""Bars on a terminal, lines elsewhere, everything in a log."""

from __future__ import annotations

import io
import re
import sys

import pytest

from bcos_eval.engine import progress as progress_module
from bcos_eval.engine.progress import RUN_LOG_NAME, Progress


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.fixture
def clock(monkeypatch):
    now = [0.0]
    monkeypatch.setattr(progress_module.time, "monotonic", lambda: now[0])
    return now


def test_where_there_is_no_terminal_a_line_comes_now_and_then(clock, capsys):
    with Progress().bar("explained", 100, "stimuli") as bar:
        bar.advance(10)
        clock[0] = 20.0
        bar.advance(10)
        bar.skip(40)
        clock[0] = 22.0
        bar.advance(1)
        clock[0] = 30.0
        bar.advance(9)
        bar.advance(30)
        clock[0] = 90.0
    assert capsys.readouterr().err.splitlines() == [
        "explained: 20 of 100 stimuli, 1 min 20 s left",
        "explained: 30 of 60 stimuli, 30 s left",
        "explained: 60 of 60 stimuli, 1 min 30 s passed",
    ]


def test_short_work_and_quiet_runs_say_nothing(clock, capsys):
    with Progress().bar("explained", 2, "stimuli") as bar:
        bar.advance(2)
    with Progress(quiet=True).bar("explained", 2, "stimuli") as bar:
        clock[0] = 60.0
        bar.advance(1)
    assert capsys.readouterr().err == ""


def test_on_a_terminal_there_is_a_bar(monkeypatch):
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    with Progress().bar("explained", 4, "stimuli") as bar:
        bar.advance(1)
        bar.skip(2)
        bar.advance(1)
    assert re.search(r"explained: 100%.* 2/2 ", terminal.getvalue().rpartition("\r")[2])


def test_work_on_the_way_takes_the_place_of_the_bar_and_none_of_its_time(clock, capsys):
    progress = Progress()
    with progress.bar("explained", 0, "stimuli") as bar:
        clock[0] = 50.0  # until it is known how much there is to do
        bar.expect(100)
        clock[0] = 60.0
        bar.advance(20)
        with progress.bar("net looks at images", 40, "images") as inner:
            clock[0] = 80.0
            inner.advance(10)
            clock[0] = 140.0
            inner.advance(30)
        clock[0] = 150.0
        bar.advance(20)
    assert capsys.readouterr().err.splitlines() == [
        "explained: 20 of 100 stimuli, 40 s left",
        "net looks at images: 10 of 40 images, 1 min 0 s left",
        "net looks at images: 40 of 40 images, 1 min 20 s passed",
        "explained: 40 of 100 stimuli, 30 s left",
    ]


def test_on_a_terminal_there_is_one_bar_at_a_time_and_one_that_stays(monkeypatch):
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    progress = Progress()
    with progress.bar("explained", 0, "stimuli") as bar:
        with progress.bar("net looks at images", 40, "images") as inner:
            inner.advance(40)
        bar.expect(4)
        bar.advance(2)
        with progress.bar("net looks at images", 8, "images") as inner:
            inner.advance(8)
        bar.advance(2)
    shown = terminal.getvalue()
    assert "\x1b" not in shown  # no second line
    assert shown.count("\n") == 1
    assert shown.count("looks at images:   0%") == 2
    assert re.search(r"explained: 100%.* 4/4 ", shown.rpartition("\r")[2])


def test_a_run_with_nothing_to_do_shows_no_bar(toy_run, monkeypatch):
    toy_run()
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    toy_run(progress=Progress())
    assert terminal.getvalue().splitlines()[-1] == "2 of 2 shards are stored already."
    assert "explained" not in terminal.getvalue()


@pytest.mark.parametrize(
    ("asked", "shown"),
    [
        ({}, ["note: wrong", "on its way"]),
        ({"quiet": True}, ["note: wrong"]),
        ({"verbose": True}, ["note: wrong", "on its way", "a task"]),
    ],
)
def test_everything_is_in_the_log_whatever_is_shown(tmp_path, capsys, asked, shown):
    progress = Progress(log=tmp_path / "run.log", **asked)
    for _ in range(2):
        progress.note("wrong")
    progress.say("on its way")
    progress.detail("a task")
    assert capsys.readouterr().err.splitlines() == shown
    lines = (tmp_path / "run.log").read_text().splitlines()
    assert [line.partition(" ")[2] for line in lines] == ["note: wrong", "on its way", "a task"]
    assert all(re.match(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\+00:00 ", line) for line in lines)


def test_the_log_of_a_run_tells_of_each_task_with_its_time(toy_run):
    toy_run(metrics=("energy_pg",), methods=("ixg", "random"))
    lines = [line.partition(" ")[2] for line in (toy_run.root / RUN_LOG_NAME).read_text().splitlines()]
    assert re.fullmatch(r'process \w+-\d+ begins: \{"models": \["bcos_toy"\], .*\}', lines[0])
    assert re.fullmatch(r"bcos_toy × ixg × energy_pg/default: images 1 to 12 in \d+\.\d s", lines[1])
    assert re.fullmatch(r"process \w+-\d+: finished", lines[-1])
    assert len(lines) == 4
