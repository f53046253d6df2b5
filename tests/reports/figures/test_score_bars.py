from __future__ import annotations

import itertools
import re

import numpy as np
import pytest

from bcos_eval.reports.figures.panels import MissingDataError
from bcos_eval.reports.figures.score_bars import score_bar_pages
from bcos_eval.reports.figures.style import figure_style
from bcos_eval.reports.results import Results
from bcos_eval.reports.tables.leaderboard import leaderboard
from bcos_eval.store.shards import Store

RNG = np.random.default_rng(0)
LABELS = {"metric": "energy_pg", "preset": "model_guidance"}


def drawn_axes(make):
    with figure_style():
        (page,) = score_bar_pages(Results.unchecked([make.root]))
        page.figure.draw_without_rendering()
    return page.figure.axes


def test_bars_intervals_and_chance_are_those_of_the_leaderboard_best_first(make):
    for method, top in (("ixg", 0.5), ("bcos", 1.0), ("random", 0.2)):
        make.units(RNG.random(20) * top, method=method, chance=0.2, **LABELS)
    table = leaderboard(Store(make.root).shards()).sort_values("mean", ascending=False)
    (axes,) = drawn_axes(make)
    assert [label.get_text() for label in axes.get_yticklabels()] == ["bcos", "ixg", "random"]
    assert [bar.get_width() for bar in axes.patches] == pytest.approx(table["mean"].tolist(), abs=1e-12)
    intervals, chance = ([segment[:, 0] for segment in lines.get_segments()] for lines in axes.collections)
    assert np.allclose(chance, 0.2)
    assert np.allclose(intervals, table[["ci_low", "ci_high"]], atol=1e-12)
    assert axes.get_xlabel() == "mean score (n = 20*, * fewer than 30 stimuli)"


def test_one_stimulus_has_a_bar_without_an_interval(make):
    make.units([0.4], **LABELS)
    (axes,) = drawn_axes(make)
    assert axes.patches[0].get_width() == pytest.approx(0.4)


def test_twelve_methods_have_room(make):
    for model in ("bcos_vitc_ti_patch1_14", "densenet121"):
        for number in range(12):
            for metric in ("energy_pg", "pointing_game"):
                make.units(RNG.random(2), model=model, method=f"guided_gradcam(a={number})", metric=metric)
    axes = drawn_axes(make)
    assert len(axes) == 4
    for one in axes:
        assert one.get_window_extent().width > one.figure.bbox.width / 5
        heights = [label.get_window_extent() for label in one.get_yticklabels()]
        assert not any(lower.overlaps(upper) for upper, lower in itertools.pairwise(heights))


def test_a_store_without_scores_says_how_to_make_them(make):
    make.units([0.5])
    message = (
        f"figure 'leaderboard_bars': '{make.root}' holds no scores of energy_pg or pointing_game; make them "
        f"with `bcos-eval run --model MODEL --metric energy_pg,pointing_game --out {make.root}`."
    )
    with pytest.raises(MissingDataError, match=f"^{re.escape(message)}$"):
        score_bar_pages(Results.unchecked([make.root]))
