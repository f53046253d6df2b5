"""Figure `perturbation`: what a network says along every stored curve, explainers side by side."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import groupby

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from bcos_eval.reports.curves import MeanCurve, mean_curves
from bcos_eval.reports.methods import FAMILY_NAMES, method_order, method_style, short_names
from bcos_eval.reports.results import Results
from bcos_eval.store.facts import MethodFacts

from .panels import (
    FigurePage,
    MissingDataError,
    counted,
    file_name,
    first_in_row,
    pages_of,
    panel_figure,
    panels_per_page,
    write_heading,
)
from .style import PAGE_HEIGHT, PAGE_WIDTH, SMALL_SIZE, new_figure, settings_sentence, write_settings

# More lines in one panel cannot be told apart, whatever their colours: there is a panel per family then.
MOST_IN_A_PANEL = 8
# More bands hide the lines.
_MOST_BANDS = 4
# Inches.
_PANEL_HEIGHT = 2.6
_SMALL_HEIGHT, _AROUND = 1.35, 0.5
_LEGEND_LINE, _LEGEND_AROUND = 0.13, 0.15
_KEY_SIZE = 6.5
_LINE_WIDTH, _CONTROL_WIDTH = 1.2, 0.8
_OTHERS = "#DDDDDD"


def perturbation_pages(results: Results) -> list[FigurePage]:
    """Draw the mean curves of each metric and preset that stores them, a page each (more where it is full).

    With up to eight methods there is a panel per dataset and model, else a row of panels, one for each family of
    explainers, with the other families' curves in pale grey behind. Bands, for up to four methods, are pointwise
    95 % intervals over images. Curves with undefined points are left out, and the axis says how many are shown.

    Raises:
        MissingDataError: If no curves are stored.
    """
    curves = mean_curves(results)
    if not curves:
        raise MissingDataError(
            f"figure 'perturbation': '{results.named}' holds no curves; make them with "
            f"`bcos-eval run --model MODEL --metric pixel_deletion --out {results.folders[0]}`."
        )
    pages = []
    ordered = sorted(curves, key=lambda one: (one.labels["metric"], one.labels["preset"], one.part))
    for (metric, preset), of_metric in groupby(
        ordered, key=lambda one: (one.labels["metric"], one.labels["preset"])
    ):
        own = list(of_metric)
        panels = [list(same) for _, same in groupby(sorted(own, key=_panel_key), key=_panel_key)]
        most = max(len(panel) for panel in panels)
        many, banded = most > MOST_IN_A_PANEL, most <= _MOST_BANDS
        figures = _family_figures(panels) if many else _panel_figures(panels, banded=banded)
        pages += pages_of(file_name("perturbation", metric, preset), figures, _caption(own, many, banded))
    return pages


def _panel_key(curve: MeanCurve) -> tuple[str, ...]:
    labels = curve.labels
    return labels["dataset"], labels["model"], labels["weights"], labels["pool"], curve.part


def _heading(panel: Sequence[MeanCurve]) -> tuple[str, str]:
    labels = panel[0].labels
    return labels["model"], f"{labels['dataset']}, {panel[0].metric}"


def _caption(curves: Sequence[MeanCurve], many: bool, banded: bool) -> str:
    first = curves[0]
    behind = "One panel per family of explainers, the others in grey behind. " if many else ""
    bands = " Bands: pointwise 95 % intervals over images." if banded else ""
    return (
        f"{first.labels['metric']}/{first.labels['preset']}: mean {first.axes.y} against {first.axes.x}. "
        f"{behind}Images with an undefined point are left out.{bands}"
        f"{settings_sentence(one.method for one in curves)}"
    )


def _panel_figures(panels: Sequence[Sequence[MeanCurve]], *, banded: bool) -> list[Figure]:
    figures = []
    for chunk in _chunks(panels, panels_per_page(_PANEL_HEIGHT)):
        figure, axes = panel_figure(len(chunk), panel_height=_PANEL_HEIGHT)
        for axis, panel in zip(axes, chunk, strict=True):
            _draw_lines(axis, panel, banded=banded)
            axis.set_xlabel(
                counted(panel[0].axes.x, [one.n for one in panel], min(one.n_stimuli for one in panel))
            )
            write_heading(axis, *_heading(panel))
        for axis in first_in_row(axes):
            axis.set_ylabel(f"mean {chunk[0][0].axes.y}")
        _share_limits(axes, chunk)
        _add_legend(figure, axes, method_order({one.method for panel in chunk for one in panel}))
        figures.append(figure)
    return figures


def _add_legend(figure: Figure, axes: Sequence[Axes], methods: Sequence[MethodFacts]) -> None:
    handles = {label: line for axis in axes for line, label in zip(*axis.get_legend_handles_labels(), strict=True)}
    n_columns = min(len(methods), int(figure.get_size_inches()[0] / 1.1))
    names = list(short_names(methods).values())
    figure.legend([handles[one.label] for one in methods], names, loc="outside lower center", ncols=n_columns)
    write_settings(figure, methods)


def _family_figures(panels: Sequence[Sequence[MeanCurve]]) -> list[Figure]:
    """Return pages with a row of small panels for each dataset and model, a column for each family."""
    methods = method_order({curve.method for panel in panels for curve in panel})
    families = {
        name: [method for method in methods if method_style(method).family == name] for name in FAMILY_NAMES
    }
    shown = {name: own for name, own in families.items() if own}
    legend = _LEGEND_LINE * max(map(len, shown.values())) + _LEGEND_AROUND
    figures = []
    for chunk in _chunks(panels, max(1, int((PAGE_HEIGHT - legend - _AROUND) / _SMALL_HEIGHT))):
        heights = [*[_SMALL_HEIGHT] * len(chunk), legend]
        figure = new_figure(PAGE_WIDTH, sum(heights) + _AROUND)
        grid = figure.add_gridspec(len(heights), len(shown), height_ratios=heights)
        axes = []
        for row, panel in enumerate(chunk):
            for column, (family, own) in enumerate(shown.items()):
                axis = figure.add_subplot(grid[row, column])
                _draw_family(axis, panel, own)
                axis.tick_params(labelleft=column == 0, labelbottom=row == len(chunk) - 1, length=2)
                if row == 0:
                    axis.set_title(FAMILY_NAMES[family], fontsize=SMALL_SIZE, loc="left")
                if column == 0:
                    axis.set_ylabel(_row_label(panel), fontsize=SMALL_SIZE)
                axes.append(axis)
        for column, own in enumerate(shown.values()):
            _add_key(figure.add_subplot(grid[-1, column]), own, short_names(methods))
        _share_limits(axes, chunk)
        counts, fewest = (
            [one.n for panel in chunk for one in panel],
            min(one.n_stimuli for panel in chunk for one in panel),
        )
        figure.supylabel(f"mean {chunk[0][0].axes.y}", fontsize=SMALL_SIZE)
        figure.supxlabel(counted(chunk[0][0].axes.x, counts, fewest), fontsize=SMALL_SIZE)
        figures.append(figure)
    return figures


def _draw_family(axes: Axes, panel: Sequence[MeanCurve], methods: Sequence[MethodFacts]) -> None:
    for curve in panel:
        if curve.method not in methods:
            axes.plot(curve.x, curve.mean, color=_OTHERS, linewidth=0.5, zorder=0)
    _draw_lines(axes, [one for one in panel if one.method in methods], banded=False)
    axes.set_xlim(panel[0].x[0], panel[0].x[-1])


def _add_key(axes: Axes, methods: Sequence[MethodFacts], called: Mapping[MethodFacts, str]) -> None:
    """Write the names of a family's methods beside their lines, where there is no panel."""
    axes.set_axis_off()
    lines = [
        axes.plot([], [], color=method_style(method).colour, linestyle=method_style(method).line)[0]
        for method in methods
    ]
    names = [called[method] for method in methods]
    key = axes.legend(lines, names, loc="upper left", borderaxespad=0, handlelength=1.8, fontsize=_KEY_SIZE)
    key.set_in_layout(False)  # panels stay of one width


def _row_label(panel: Sequence[MeanCurve]) -> str:
    labels = panel[0].labels
    part = f"\n{panel[0].part}" if panel[0].part else ""
    return f"{labels['model']}\n{labels['dataset']}{part}"


def _draw_lines(axes: Axes, curves: Sequence[MeanCurve], *, banded: bool) -> None:
    by_method = {curve.method: curve for curve in curves}
    for method in method_order(by_method):
        curve, style = by_method[method], method_style(method)
        width = _CONTROL_WIDTH if method.is_control else _LINE_WIDTH
        axes.plot(
            curve.x, curve.mean, color=style.colour, linestyle=style.line, linewidth=width, label=method.label
        )
        if banded:
            axes.fill_between(*curve.band(), color=style.colour, alpha=0.15, linewidth=0)
    if curves:
        axes.set_xlim(curves[0].x[0], curves[0].x[-1])


def _share_limits(axes: Sequence[Axes], panels: Sequence[Sequence[MeanCurve]]) -> None:
    lowest = min(float(curve.mean.min()) for panel in panels for curve in panel)
    low = 0.0 if lowest >= 0 else min(axis.get_ylim()[0] for axis in axes)
    top = max(axis.get_ylim()[1] for axis in axes)
    for axis in axes:
        axis.set_ylim(low, top)


def _chunks(panels: Sequence[Sequence[MeanCurve]], size: int) -> list[Sequence[Sequence[MeanCurve]]]:
    return [panels[start : start + size] for start in range(0, len(panels), size)]
