from __future__ import annotations

import re

import numpy as np
import pytest
import torch

from bcos_eval.reports.figures.panels import MissingDataError
from bcos_eval.reports.figures.qualitative import example_rows, qualitative_pages
from bcos_eval.reports.figures.style import figure_style
from bcos_eval.reports.results import Results
from bcos_eval.store.arrays import load_arrays, save_arrays
from bcos_eval.store.examples import load_examples

SIDE = 8


def maps_of(n, k, value):
    return torch.full((n, k, SIDE, SIDE), float(value))


def pages(make):
    with figure_style():
        return qualitative_pages(Results.unchecked([make.root]))


def test_single_images_come_first_and_each_row_holds_the_maps_of_all_methods(make):
    make.examples(maps_of(1, 2, 3.0), method="bcos", kind="grid2x2", colour=True)
    make.examples(maps_of(2, 1, 1.0), method="bcos", kind="single", colour=True)
    make.examples(maps_of(2, 1, 2.0), method="lime", kind="single")
    rows = example_rows(load_examples(make.root))
    assert [row.label for row in rows] == ["cat", "cat", "cat", "dog"]
    assert [{method.label: float(m[0, 0]) for method, m in row.maps.items()} for row in rows] == [
        {"bcos": 1.0, "lime": 2.0},
        {"bcos": 1.0, "lime": 2.0},
        {"bcos": 3.0},
        {"bcos": 3.0},
    ]
    assert all(row.colour is not None and row.region[: SIDE // 2, : SIDE // 2].all() for row in rows)


def test_at_most_four_rows_of_a_kind_are_shown(make):
    make.examples(maps_of(4, 2, 1.0), kind="grid2x2")
    make.examples(maps_of(4, 1, 1.0), kind="single")
    assert len(example_rows(load_examples(make.root))) == 8


def test_grids_of_other_images_are_not_taken_for_the_same_grid(make):
    make.examples(maps_of(1, 1, 1.0), method="bcos", kind="grid2x2")
    path = make.examples(maps_of(1, 1, 2.0), method="lime", kind="grid2x2")
    stored = load_arrays(path)
    save_arrays(path, {**stored, "images": np.zeros_like(stored["images"])})
    assert [[method.label for method in row.maps] for row in example_rows(load_examples(make.root))] in (
        [["bcos"], ["lime"]],
        [["lime"], ["bcos"]],
    )


def test_each_network_has_its_page(make):
    make.examples(maps_of(1, 1, 1.0))
    make.examples(maps_of(1, 1, 1.0), model="resnet18", method="lime")
    assert [page.name for page in pages(make)] == [
        "qualitative-shapes-bcos_resnet18",
        "qualitative-shapes-resnet18",
    ]


def test_pages_of_two_weights_of_a_network_have_two_names(make):
    make.examples(maps_of(1, 1, 1.0), weights="w1")
    make.examples(maps_of(1, 1, 1.0), weights="w2")
    assert [page.name for page in pages(make)] == [
        "qualitative-shapes-bcos_resnet18-w1",
        "qualitative-shapes-bcos_resnet18-w2",
    ]


def test_a_store_without_examples_says_how_to_make_them(make):
    message = (
        f"figure 'qualitative': '{make.root}' holds no examples; make them with "
        f"`bcos-eval run --model MODEL --metric grid_pg --out {make.root}`."
    )
    with pytest.raises(MissingDataError, match=f"^{re.escape(message)}$"):
        pages(make)
