from __future__ import annotations

import pytest

from bcos_eval.reports.tables.table import LEADERBOARD_COLUMNS, STATUS_COLUMNS

NUMBERS = {
    "pool": "",
    "n": 90,
    "n_planned": 90,
    "median": 0.1,
    "q25": 0.05,
    "q75": 0.2,
    "chance": 1 / 9,
    **dict.fromkeys(STATUS_COLUMNS, 0),
    "seconds_per_unit": 0.5,
}


@pytest.fixture
def make_row():
    """Makes a row of a leaderboard; `interval` is the half-width."""

    def maker(
        method, metric, mean, *, interval=0.01, direction="higher", model="m", weights="w", dataset="toy", **more
    ):
        name, preset = metric.split("/")
        labels = {"dataset": dataset, "model": model, "weights": weights, "method": method}
        values = {"mean": mean, "ci_low": mean - interval, "ci_high": mean + interval, "direction": direction}
        row = {**labels, "metric": name, "preset": preset, **NUMBERS, **values}
        row |= more
        assert set(row) - {"method_name", "preset_name"} == {*LEADERBOARD_COLUMNS, "seconds_per_unit"}
        return row

    return maker
