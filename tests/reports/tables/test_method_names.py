from __future__ import annotations

from bcos_eval.reports.figures.style import figure_style, new_figure
from bcos_eval.reports.tables.method_names import settings_text, short_names, write_settings

LABELS = ["bcos", "lime(kernel_size=1,n_samples=100)", "rise(n_masks=8)", "rise"]


def test_parameters_are_left_out_unless_methods_would_be_called_the_same():
    assert short_names(LABELS) == {
        "bcos": "bcos",
        "lime(kernel_size=1,n_samples=100)": "lime",
        "rise(n_masks=8)": "rise(n_masks=8)",
        "rise": "rise",
    }


def test_what_is_left_out_is_said_once():
    assert settings_text([*LABELS, LABELS[1]]) == "lime: kernel_size=1, n_samples=100"
    assert settings_text(["bcos", "rise"]) == ""


def test_settings_stand_below_panels_or_above_their_legend():
    with figure_style():
        figure = new_figure(2, 2)
        write_settings(figure, LABELS)
        assert figure.get_supxlabel().replace("\n", " ") == "lime: kernel_size=1, n_samples=100"
        with_legend = new_figure(4, 2)
        with_legend.subplots().plot([0, 1], label="bcos")
        legend = with_legend.legend(loc="outside lower center")
        write_settings(with_legend, LABELS)
        assert legend.get_title().get_text() == "lime: kernel_size=1, n_samples=100"
        assert with_legend.get_supxlabel() == ""
        nothing = new_figure(2, 2)
        write_settings(nothing, ["bcos"])
        assert nothing.get_supxlabel() == ""
