from __future__ import annotations

import itertools

import numpy as np
import pytest

from bcos_eval.reports.figures.explanation_sheet import (
    ExplanationRow,
    explanation_sheet,
    on_white,
    symmetric_limit,
)
from bcos_eval.reports.figures.style import PAGE_WIDTH, figure_style
from bcos_eval.reports.methods import registered_styles
from bcos_eval.store.facts import method_of_old_label

SIDE = 16
IMAGE = np.full((SIDE, SIDE, 3), 128, np.uint8)
MAP = np.random.default_rng(0).normal(size=(SIDE, SIDE)).astype(np.float32)
BLUE, WHITE, RED = (0, 0, 1, 1), (1, 1, 1, 1), (1, 0, 0, 1)


def drawn(rows):
    with figure_style():
        return explanation_sheet(rows)


def row(**changes):
    given = {"label": "cat", "image": IMAGE, "maps": {"ixg": MAP}, **changes}
    maps = {method_of_old_label(label): values for label, values in given["maps"].items()}
    return ExplanationRow(**{**given, "maps": maps})


def headings(figure):
    return [text.get_text() for axes in figure.axes for text in axes.texts if text.get_text() != "–"]


def shown_colours(values):
    """Colours `(H, W, 4)` a map is drawn with."""
    figure = drawn([row(maps={"ixg": np.asarray(values, np.float32)}, image=IMAGE[:1, :4])])
    return figure.axes[1].images[0].to_rgba(figure.axes[1].images[0].get_array())


def test_zero_is_white_and_the_largest_entries_of_both_signs_are_red_and_blue():
    colours = shown_colours([[-4.0, 0.0, 2.0, 4.0]])
    assert colours[0, 0] == pytest.approx(BLUE)
    assert colours[0, 1] == pytest.approx(WHITE, abs=0.01)  # 256 colours have no exact middle
    assert colours[0, 2] == pytest.approx((1, 0.5, 0.5, 1), abs=0.01)
    assert colours[0, 3] == pytest.approx(RED)


def test_a_map_without_negative_entries_has_its_zero_in_white_too():
    assert shown_colours([[0.0, 1.0, 2.0, 4.0]])[0, 0] == pytest.approx(WHITE, abs=0.01)


def test_entries_that_are_not_finite_are_grey():
    colours = shown_colours([[np.nan, np.inf, 1.0, 0.0]])
    assert colours[0, 0] == pytest.approx(colours[0, 1])
    assert colours[0, 0] == pytest.approx((0.733, 0.733, 0.733, 1), abs=1e-3)


@pytest.mark.parametrize("scale", [1e-40, 1e-20, 1.0, 1e30])
def test_the_picture_does_not_depend_on_the_scale_of_a_map(scale):
    # 1e-40 is subnormal in float32, which leaves it few digits.
    values = np.array([[-4.0, 1.0, 2.0, 4.0]])
    assert np.allclose(shown_colours(values * scale), shown_colours(values), atol=0.01)


def test_the_limit_is_the_percentile_of_the_absolute_values():
    values = np.arange(-1000, 1).astype(np.float32)
    assert symmetric_limit(values) == pytest.approx(995)
    assert symmetric_limit(np.append(values, [np.nan, np.inf]).astype(np.float32)) == pytest.approx(995)


def test_the_limit_of_a_sparse_map_is_its_largest_entry_and_of_a_zero_map_one():
    sparse = np.zeros(1000, np.float32)
    assert symmetric_limit(sparse) == 1
    sparse[7] = -3
    assert symmetric_limit(sparse) == 3
    assert symmetric_limit(np.full(3, np.nan, np.float32)) == 1


def test_colour_explanations_are_laid_on_white():
    rgba = np.array([[[255, 0, 0, 255], [255, 0, 0, 0], [0, 0, 0, 51]]], np.uint8)
    assert on_white(rgba).tolist() == [[[255, 0, 0], [255, 255, 255], [204, 204, 204]]]


def test_columns_are_the_input_the_colours_and_the_methods_in_their_fixed_order():
    colour = np.full((SIDE, SIDE, 4), 99, np.uint8)
    figure = drawn([row(maps={"lime": MAP, "zzz": MAP, "bcos": MAP, "ixg": MAP}, colour=colour)])
    assert headings(figure) == ["input", "bcos in colour", "bcos", "ixg", "lime", "zzz"]


def test_without_colour_explanations_there_is_no_column_for_them():
    assert headings(drawn([row()])) == ["input", "ixg"]


def test_a_method_that_a_row_lacks_leaves_its_cell_empty():
    figure = drawn([row(), row(maps={"lime": MAP})])
    images = [len(axes.images) for axes in figure.axes[:6]]
    assert images == [1, 1, 0, 1, 0, 1]


def test_the_region_is_outlined_along_its_border():
    region = np.zeros((SIDE, SIDE), bool)
    region[:4, 8:] = True
    figure = drawn([row(region=region)])
    for axes in figure.axes[:2]:
        vertices = axes.collections[0].get_paths()[0].vertices
        # Pixel centres are whole numbers: the border runs half-way between inside and outside.
        assert vertices.min(0).tolist() == [7.5, -0.5]
        assert vertices.max(0).tolist() == [15.5, 3.5]


def test_an_unknown_region_is_not_outlined():
    figure = drawn([row(region=np.zeros((SIDE, SIDE), bool))])
    assert not any(axes.collections for axes in figure.axes[:2])


def test_labels_stand_beside_their_rows_with_their_notes():
    figure = drawn([row(label="great white shark", note="p = 0.93"), row(label="dog")])
    assert [text.get_text() for text in figure.texts] == ["great white\nshark\np = 0.93", "dog"]
    middles = [figure.axes[i].get_position().y0 + figure.axes[i].get_position().height / 2 for i in (0, 2)]
    assert [text.get_position()[1] for text in figure.texts] == pytest.approx(middles)


@pytest.mark.parametrize("n_methods", [1, 2, 12])
@pytest.mark.parametrize("n_rows", [1, 8])
def test_everything_stays_on_the_page_and_labels_apart(n_methods, n_rows):
    names = [*list(registered_styles())[: n_methods - 1], "kernelshap(n_samples=1000)"]
    long = "black-footed ferret, polecat, Mustela nigripes, an uninterruptedlylongname"
    colour = np.zeros((SIDE, SIDE, 4), np.uint8)
    rows = [row(label=long, note="p = 0.123", maps=dict.fromkeys(names, MAP), colour=colour)] * n_rows
    figure = drawn(rows)
    assert figure.get_figwidth() <= PAGE_WIDTH + 1e-9
    texts = [*figure.texts, *(text for axes in figure.axes for text in axes.texts)]
    page = figure.bbox.padded(0.5)
    for text in texts:
        box = text.get_window_extent()
        assert page.x0 <= box.x0
        assert box.x1 <= page.x1
        assert page.y0 <= box.y0
        assert box.y1 <= page.y1
    boxes = [text.get_window_extent() for text in figure.texts]
    assert not any(one.overlaps(other) for one, other in itertools.combinations(boxes, 2))
    key = figure.axes[-1].get_tightbbox()
    assert not any(box.overlaps(key) for box in boxes)
    labels = boxes[:n_rows]
    images = figure.axes[0].get_window_extent()
    assert all(label.x1 <= images.x0 for label in labels)


def test_images_keep_their_shape():
    figure = drawn([row(image=np.zeros((8, 16, 3), np.uint8), maps={"ixg": np.zeros((8, 16), np.float32)})])
    box = figure.axes[0].get_window_extent()
    assert box.width / box.height == pytest.approx(2)


def test_no_rows_is_an_error():
    with pytest.raises(ValueError, match=r"^a sheet of explanations got no rows; give at least one\.$"):
        explanation_sheet([])
