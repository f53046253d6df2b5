from __future__ import annotations

import numpy as np

from bcos_eval.cli.image_explanation import degenerate_notes
from bcos_eval.reports.figures.explanation_picture import ExplainedImage
from bcos_eval.store.facts import MethodFacts


def notes(method, values):
    row = ExplainedImage(np.zeros((3, 2, 2), np.float32), "cat", 0.5, {method: np.array(values, np.float32)})
    return list(degenerate_notes([row]))


def test_maps_that_are_the_same_everywhere_are_named_with_what_helps():
    hint = "; --param lime.kernel_size=1 makes smaller superpixels."
    assert notes(MethodFacts("lime"), [[1, 1], [1, 1]]) == [
        f"note: the map of lime for 'cat' is the same everywhere{hint}"
    ]
    assert notes(MethodFacts("ixg"), [[0, 0], [0, 0]]) == [
        "note: the map of ixg for 'cat' is the same everywhere."
    ]


def test_undefined_entries_are_named_and_controls_are_as_they_should_be():
    assert notes(MethodFacts("ixg"), [[0, np.nan], [0, 1]]) == [
        "note: the map of ixg for 'cat' has undefined entries."
    ]
    assert not notes(MethodFacts("uniform", is_control=True), [[1, 1], [1, 1]])
    assert not notes(MethodFacts("ixg"), [[0, 1], [0, 1]])
