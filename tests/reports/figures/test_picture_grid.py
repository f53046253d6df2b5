from __future__ import annotations

import itertools

import numpy as np
import pytest

from bcos_eval.reports.figures.picture_grid import Picture, PictureRow, cut_out_pixels, map_pixels, picture_grids
from bcos_eval.reports.figures.style import PAGE_HEIGHT, PAGE_WIDTH, figure_style

GREY = np.full((8, 8, 3), 128, np.uint8)


def drawn(rows, headings=()):
    with figure_style():
        figures = picture_grids(rows, headings)
        for figure in figures:
            figure.draw_without_rendering()
    return figures


def row(n, label="net", below=""):
    return PictureRow(label, [Picture(GREY, below)] * n)


@pytest.mark.parametrize("n", [1, 4, 12, 26])
def test_no_page_is_wider_or_higher_than_paper_and_no_row_is_lost(n):
    figures = drawn([row(n, below="0.123")] * 20, [f"method_{i}" for i in range(n)])
    assert sum(len(figure.axes) for figure in figures) == 20 * n
    for figure in figures:
        assert figure.get_figwidth() <= PAGE_WIDTH + 1e-9
        assert figure.get_figheight() <= PAGE_HEIGHT
        renderer = figure.canvas.get_renderer()
        for text in figure.texts:
            box = text.get_window_extent(renderer)
            assert box.x0 >= -1
            assert box.x1 <= figure.bbox.x1 + 1
            assert box.y1 <= figure.bbox.y1 + 1


def test_pictures_do_not_overlap_their_texts_or_each_other():
    (figure,) = drawn([row(3, below="a name\n+1.23"), row(3, below="x")], ["a", "b", "c"])
    boxes = [axes.get_position() for axes in figure.axes]
    assert all(not a.overlaps(b) for i, a in enumerate(boxes) for b in boxes[:i])
    renderer = figure.canvas.get_renderer()
    second_row_top = boxes[3].y1 * figure.bbox.height
    for axes in figure.axes[:3]:
        assert axes.texts[0].get_window_extent(renderer).y0 >= second_row_top - 1


def test_long_texts_are_cut_before_they_reach_the_neighbour():
    (figure,) = drawn([row(8, below="an exceedingly long name of a class")])
    renderer = figure.canvas.get_renderer()
    boxes = [axes.texts[0].get_window_extent(renderer) for axes in figure.axes]
    assert all(a.x1 <= b.x0 + 1 for a, b in itertools.pairwise(boxes))
    assert figure.axes[0].texts[0].get_text().endswith("…")


def test_red_is_for_blue_against_and_white_zero():
    pixels = map_pixels(np.array([[4.0, 0.0, -4.0, np.nan]]), 4.0)[0].tolist()
    assert (pixels[0], pixels[2]) == ([255, 0, 0], [0, 0, 255])
    assert min(pixels[1]) >= 253
    assert pixels[3] == [187, 187, 187]


def test_a_given_limit_makes_maps_comparable():
    assert map_pixels(np.array([[1.0]]), 2.0).tolist() == map_pixels(np.array([[2.0]]), 4.0).tolist()


def test_a_cut_out_keeps_the_pixels_that_speak_for_the_class():
    values = np.array([[1.0, -1.0], [0.0, np.nan]])
    image = np.arange(12, dtype=np.uint8).reshape(2, 2, 3)
    cut = cut_out_pixels(image, values)
    assert (cut.dtype, cut[0, 0].tolist()) == (np.uint8, [0, 1, 2])
    assert (cut.reshape(-1, 3)[1:] == 220).all()
