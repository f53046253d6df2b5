from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

from bcos_eval.errors import InputError
from bcos_eval.reports.figures.explanation_picture import (
    ExplainedImage,
    check_picture_path,
    explanation_picture,
    save_explanation_picture,
)
from bcos_eval.store.facts import MethodFacts

SIDE = 8


def explained(**changes):
    given = {
        "image": np.broadcast_to(np.linspace(0, 1, SIDE, dtype=np.float32), (3, SIDE, SIDE)),
        "target_name": "goldfish",
        "probability": 0.93456,
        "maps": {MethodFacts("bcos"): np.ones((SIDE, SIDE), np.float32)},
    }
    return ExplainedImage(**{**given, **changes})


def test_each_image_has_a_row_with_target_and_probability():
    figure = explanation_picture([explained(), explained(target_name="cat", probability=1.0)])
    assert [text.get_text() for text in figure.texts] == ["goldfish\np = 0.935", "cat\np = 1.000"]


def test_the_pixels_are_those_of_the_image():
    shown = explanation_picture([explained()]).axes[0].images[0].get_array()
    assert np.array_equal(shown, np.rint(np.moveaxis(explained().image, 0, -1) * 255))


def test_a_colour_explanation_has_its_column():
    colour = np.zeros((4, SIDE, SIDE), np.float32)
    figure = explanation_picture([explained(colour=colour)])
    assert [axes.texts[0].get_text() for axes in figure.axes[:3]] == ["input", "bcos in colour", "bcos"]
    assert (figure.axes[1].images[0].get_array() == 255).all()


@pytest.mark.parametrize("suffix", [".png", ".pdf"])
def test_the_same_rows_give_the_same_bytes(tmp_path, suffix):
    paths = [tmp_path / f"{name}{suffix}" for name in "ab"]
    for path in paths:
        save_explanation_picture([explained()], path)
    assert paths[0].read_bytes() == paths[1].read_bytes()
    assert sorted(tmp_path.iterdir()) == paths


def test_other_suffixes_are_refused():
    message = "--out 'x/y.jpg' must end in .png or .pdf; rename it."
    with pytest.raises(InputError, match=f"^{re.escape(message)}$"):
        check_picture_path(Path("x/y.jpg"))


def test_suffixes_may_be_in_capitals(tmp_path):
    save_explanation_picture([explained()], tmp_path / "picture.PNG")
    assert (tmp_path / "picture.PNG").read_bytes().startswith(b"\x89PNG")
