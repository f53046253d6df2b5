"""The figures by name: what each shows, what it needs, and how they reach the disk.

Nothing here loads matplotlib before something is drawn, so that `list figures` answers at once.
"""

from __future__ import annotations

import importlib
import textwrap
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from bcos_eval.errors import InputError, unknown_name
from bcos_eval.reports.results import Results
from bcos_eval.store.atomic_write import write_text

if TYPE_CHECKING:
    from .panels import FigurePage

FORMATS = (".pdf", ".png")
CAPTION_SUFFIX = ".txt"
_CAPTION_WIDTH = 100


@dataclass(frozen=True, slots=True)
class FigureEntry:
    """A figure of results.

    Attributes:
        pages: The function that draws it, `MODULE:FUNCTION` beside this file: maps `Results` to a list of
            `FigurePage`, or raises `MissingDataError`.
        shows: What it shows.
        needs: Which results it is drawn from.
        has_cut_outs: Whether the function takes `cut_out`, names of methods drawn as cut-outs of the image.
    """

    pages: str
    shows: str
    needs: str
    has_cut_outs: bool = False

    def drawn(self, results: Results, cut_out: Sequence[str] = ()) -> list[FigurePage]:
        """Return its pages; call it, and save them, inside `figure_style()`.

        Args:
            results: What it is drawn from.
            cut_out: Names of methods to draw as cut-outs, where the figure can.

        Raises:
            MissingDataError: If the results lack what it shows.
        """
        module, _, function = self.pages.partition(":")
        home = importlib.import_module(f".{module}", __package__)
        pages: Callable[..., list[FigurePage]] = getattr(home, function)
        return pages(results, cut_out) if self.has_cut_outs else pages(results)


FIGURES: dict[str, FigureEntry] = {
    "localisation": FigureEntry(
        "localisation:localisation_pages", "box plots of the grid pointing game", "scores of grid_pg"
    ),
    "qualitative": FigureEntry(
        "qualitative:qualitative_pages",
        "stored stimuli beside all attributions",
        "examples, which every run keeps",
    ),
    "explanations": FigureEntry(
        "explanations:explanation_pages",
        "inputs over colour explanations, a row per architecture; two classes of one image",
        "examples of B-cos networks by the method bcos",
    ),
    "evidence": FigureEntry(
        "explanations:evidence_pages",
        "why class 1 rather than class 2: contributions to both and to the difference",
        "examples of B-cos networks by the method bcos",
    ),
    "comparison": FigureEntry(
        "comparison:comparison_pages",
        "a network and its B-cos twin in paired rows, with scores",
        "examples of both, which every run keeps",
        has_cut_outs=True,
    ),
    "units": FigureEntry(
        "explanations:unit_pages", "what hidden units respond to: top images, explained", "`bcos-eval units`"
    ),
    "perturbation": FigureEntry(
        "perturbation:perturbation_pages",
        "mean curves of deletion, insertion, ROAD, … by family of explainers",
        "metrics with curves",
    ),
    "leaderboard_bars": FigureEntry(
        "score_bars:score_bar_pages",
        "means with intervals and chance levels",
        "scores of energy_pg, pointing_game",
    ),
    "agreement": FigureEntry(
        "agreement:agreement_pages", "rank correlations among metrics", "two metrics with three methods in common"
    ),
    "accuracy_localisation": FigureEntry(
        "tradeoffs:accuracy_localisation_pages",
        "accuracy against localisation, B-cos and standard joined",
        "scores of grid_pg on shipped weights",
    ),
    "cost_quality": FigureEntry(
        "tradeoffs:cost_quality_pages", "mean scores against seconds per target", "any scores"
    ),
    "b_exponent": FigureEntry(
        "ablations:b_exponent_pages",
        "accuracy and localisation over the exponent B",
        "a table scores.csv in the folder, such as results/b_exponent",
    ),
    "norms": FigureEntry(
        "ablations:norm_pages",
        "accuracy and localisation by kind of norm",
        "a table scores.csv in the folder, such as results/b_exponent",
    ),
    "aggatt": FigureEntry("aggatt:aggatt_pages", "mean maps of grids, best to worst", "`bcos-eval aggatt`"),
}


def require_known(names: Iterable[str]) -> None:
    """Refuse names that no figure has.

    Raises:
        InputError: With near matches and where all are listed.
    """
    for name in names:
        if name not in FIGURES:
            raise unknown_name("figure", name, FIGURES)


def draw(
    results: Results,
    only: Sequence[str],
    out: Path,
    *,
    cut_out: Sequence[str] = (),
    note: Callable[[str], object] = lambda _: None,
) -> list[Path]:
    """Draw figures from stored results; write each page as PDF and PNG with its caption as text beside.

    The same results give the same bytes.

    Args:
        results: What they are drawn from.
        only: Names of figures; without names, all that there are data for.
        out: Folder for the files.
        cut_out: Names of methods that figure `comparison` draws as the part of the image they speak for.
        note: Told, a line each, which stored results no figure shows, and why a figure could not be drawn.

    Returns:
        The files written, in the order drawn.

    Raises:
        InputError: If a name is unknown, or a figure that was named, or every figure, lacks its data.
    """
    from .style import figure_style, save_figure

    require_known(only)
    for text in (*results.board.notes, *results.board.damaged):
        note(text)
    written: list[Path] = []
    names: Counter[str] = Counter()
    with figure_style():
        pages = _named_pages(results, only, cut_out) if only else _possible_pages(results, cut_out, note)
        for page in pages:
            names[page.name] += 1
            # Two weights of one model, for example, may have pages of one name.
            name = page.name if names[page.name] == 1 else f"{page.name}-{names[page.name]}"
            for suffix in FORMATS:
                save_figure(page.figure, out / f"{name}{suffix}")
            caption = textwrap.fill(page.caption, _CAPTION_WIDTH, break_on_hyphens=False)
            write_text(out / f"{name}{CAPTION_SUFFIX}", f"{caption}\n")
            written += [out / f"{name}{suffix}" for suffix in (*FORMATS, CAPTION_SUFFIX)]
    return written


def _named_pages(results: Results, names: Sequence[str], cut_out: Sequence[str]) -> Iterator[FigurePage]:
    # All are made before the first is written: a figure that lacks its data leaves no files.
    yield from [page for name in dict.fromkeys(names) for page in FIGURES[name].drawn(results, cut_out)]


def _possible_pages(
    results: Results, cut_out: Sequence[str], note: Callable[[str], object]
) -> Iterator[FigurePage]:
    """Yield what can be drawn, and say what cannot."""
    from .panels import MissingDataError

    n_drawn, reasons = 0, []
    for entry in FIGURES.values():
        try:
            for page in entry.drawn(results, cut_out):
                n_drawn += 1
                yield page
        except MissingDataError as error:
            reasons.append(f"note: not drawn: {error}")
    if not n_drawn:
        raise InputError(
            f"'{results.named}' holds nothing to draw; make scores with "
            f"`bcos-eval run --model MODEL --metric grid_pg --out {results.folders[0]}`."
        )
    for reason in reasons:
        note(reason)
