from __future__ import annotations

import pytest

from bcos_eval.reports.figures.style import lightened


def test_lightening_mixes_with_white():
    assert lightened("#000000", 0.25) == pytest.approx((0.25, 0.25, 0.25))
    assert lightened("#ff0000", 1.0) == pytest.approx((1, 1, 1))
