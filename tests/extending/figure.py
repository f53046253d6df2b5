"""A figure: this file, as `bcos_eval/reports/figures/score_counts.py`, and a line in `FIGURES` of `figures.py`."""

from __future__ import annotations

from bcos_eval.reports.tables.leaderboard import current_shards, stored_units
from bcos_eval.store.shards import Store

from .panels import FigurePage, MissingDataError
from .style import COLUMN_WIDTH, new_figure


def score_count_pages(store: Store) -> list[FigurePage]:
    """Return a histogram of all stored scores.

    Raises:
        MissingDataError: If there are none.
    """
    shards, _ = current_shards(store)
    if not shards:
        raise MissingDataError("no scores are stored; make some with `bcos-eval run`.")
    figure = new_figure(COLUMN_WIDTH, 2)
    axes = figure.subplots()
    axes.hist(stored_units(shards)["score"].dropna())
    axes.set(xlabel="score", ylabel="units")
    return [FigurePage("score_counts", figure)]
