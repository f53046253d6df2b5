"""A figure: this file, as `bcos_eval/reports/figures/score_counts.py`, and a line in `FIGURES` of `figures.py`."""

from __future__ import annotations

from bcos_eval.reports.results import Results

from .panels import FigurePage, MissingDataError
from .style import COLUMN_WIDTH, new_figure


def score_count_pages(results: Results) -> list[FigurePage]:
    """Return a histogram of all stored scores.

    Raises:
        MissingDataError: If there are none.
    """
    if results.units.empty:
        raise MissingDataError("no scores are stored; make some with `bcos-eval run`.")
    figure = new_figure(COLUMN_WIDTH, 2)
    axes = figure.subplots()
    axes.hist(results.units["score"].dropna())
    axes.set(xlabel="score", ylabel="units")
    return [FigurePage("score_counts", figure, "How often each score occurs.")]
