from __future__ import annotations

import pytest

from bcos_eval.contract.plugins import explainers
from bcos_eval.reports.figures.style import figure_style, new_figure, write_settings
from bcos_eval.reports.methods import method_order, method_style, registered_styles, settings_text, short_names
from bcos_eval.store.facts import MethodFacts, method_of_old_label


def methods(*labels):
    return [method_of_old_label(label) for label in labels]


LABELS = ["bcos", "lime(kernel_size=1,n_samples=100)", "rise(n_masks=8)", "rise"]
METHODS = methods(*LABELS)


def test_parameters_are_left_out_unless_methods_would_be_called_the_same():
    assert {method.label: name for method, name in short_names(METHODS).items()} == {
        "bcos": "bcos",
        "lime(kernel_size=1,n_samples=100)": "lime",
        "rise(n_masks=8)": "rise(n_masks=8)",
        "rise": "rise",
    }


def test_what_is_left_out_is_said_once():
    assert settings_text([*METHODS, METHODS[1]]) == "lime: kernel_size=1, n_samples=100"
    assert settings_text(methods("bcos", "rise")) == ""


def test_settings_stand_below_panels_or_above_their_legend():
    with figure_style():
        figure = new_figure(2, 2)
        write_settings(figure, METHODS)
        assert figure.get_supxlabel().replace("\n", " ") == "lime: kernel_size=1, n_samples=100"
        with_legend = new_figure(4, 2)
        with_legend.subplots().plot([0, 1], label="bcos")
        legend = with_legend.legend(loc="outside lower center")
        write_settings(with_legend, METHODS)
        assert legend.get_title().get_text() == "lime: kernel_size=1, n_samples=100"
        assert with_legend.get_supxlabel() == ""
        nothing = new_figure(2, 2)
        write_settings(nothing, methods("bcos"))
        assert nothing.get_supxlabel() == ""


def test_every_registered_method_has_a_style():
    assert set(explainers()) <= set(registered_styles())


def test_no_two_methods_look_the_same():
    assert len(set(registered_styles().values())) == len(registered_styles())


def test_the_linear_summary_has_a_colour_of_its_own():
    others = [style.colour for name, style in registered_styles().items() if name != "bcos"]
    assert method_style(MethodFacts("bcos")).colour not in others


def test_parameters_change_the_line_and_not_the_colour():
    plain, changed = (method_style(one) for one in methods("lime", "lime(n_samples=100)"))
    assert changed.colour == plain.colour
    assert changed not in registered_styles().values()


def test_unlisted_methods_are_black():
    assert method_style(MethodFacts("my_method")).colour == "#000000"


def test_the_order_is_fixed_and_unlisted_methods_come_last():
    given = ["zebra", "random", "lime(n=2)", "lime", "ant", "bcos"]
    assert [method.label for method in method_order(methods(*given))] == [
        "bcos",
        "lime",
        "lime(n=2)",
        "random",
        "ant",
        "zebra",
    ]


@pytest.mark.parametrize("label", ["lime", "lime(n=2)", "lime(n=2,m=(3))"])
def test_the_base_method_is_the_registered_name(label):
    assert method_of_old_label(label).name == "lime"
