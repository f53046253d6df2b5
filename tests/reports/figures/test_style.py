from __future__ import annotations

import pytest

from bcos_eval.contract.plugins import explainers
from bcos_eval.reports.figures.style import METHOD_STYLES, base_method, lightened, method_order, method_style


def test_every_registered_method_has_a_style():
    assert set(explainers()) <= set(METHOD_STYLES)


def test_no_two_methods_look_the_same():
    assert len(set(METHOD_STYLES.values())) == len(METHOD_STYLES)


def test_the_linear_summary_has_a_colour_of_its_own():
    others = [style.colour for name, style in METHOD_STYLES.items() if name != "bcos"]
    assert method_style("bcos").colour not in others


def test_parameters_change_the_line_and_not_the_colour():
    plain, changed = method_style("lime"), method_style("lime(n_samples=100)")
    assert changed.colour == plain.colour
    assert changed not in METHOD_STYLES.values()


def test_unlisted_methods_are_black():
    assert method_style("my_method").colour == "#000000"


def test_the_order_is_fixed_and_unlisted_methods_come_last():
    given = ["zebra", "random", "lime(n=2)", "lime", "ant", "bcos"]
    assert method_order(given) == ["bcos", "lime", "lime(n=2)", "random", "ant", "zebra"]


@pytest.mark.parametrize("label", ["lime", "lime(n=2)", "lime(n=2,m=(3))"])
def test_the_base_method_is_the_registered_name(label):
    assert base_method(label) == "lime"


def test_lightening_mixes_with_white():
    assert lightened("#000000", 0.25) == pytest.approx((0.25, 0.25, 0.25))
    assert lightened("#ff0000", 1.0) == pytest.approx((1, 1, 1))
