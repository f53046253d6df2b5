from __future__ import annotations

import pytest

from bcos_eval.spelling import is_reference, plain_spelling, split_names


def test_names_repeat_and_are_split_at_commas():
    assert split_names(["a,b", " c ", "b,,a"]) == ("a", "b", "c")


@pytest.mark.parametrize("text", ["Grad-CAM++", "GradCAM++", "grad_cam++", "grad cam++"])
def test_marks_and_capitals_do_not_count_but_pluses_do(text):
    assert plain_spelling(text) == "gradcam++" != plain_spelling("gradcam")


@pytest.mark.parametrize(
    ("text", "expected"),
    [("lime", False), ("grid_pg/bcos_v2", False), ("a.py:b", True), ("dir.py:x/b", True), ("a.py", True)],
)
def test_a_reference_is_told_from_a_name(text, expected):
    assert is_reference(text) == expected
