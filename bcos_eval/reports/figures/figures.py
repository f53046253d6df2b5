"""The figures by name, each a function of what is stored."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from bcos_eval.errors import InputError, unknown_name
from bcos_eval.reports.tables.leaderboard import current_shards, left_out_notes
from bcos_eval.store.shards import Store, StoreReadOnce

from .aggatt import aggatt_pages
from .agreement import agreement_pages
from .localisation import localisation_pages
from .panels import FigurePage, MissingDataError
from .perturbation import perturbation_pages
from .qualitative import qualitative_pages
from .score_bars import score_bar_pages
from .style import figure_style, save_figure

FIGURES: dict[str, Callable[[Store], list[FigurePage]]] = {
    "localisation": localisation_pages,
    "qualitative": qualitative_pages,
    "perturbation": perturbation_pages,
    "leaderboard_bars": score_bar_pages,
    "agreement": agreement_pages,
    "aggatt": aggatt_pages,
}

FORMATS = (".pdf", ".png")


def draw(
    store: Path, only: Sequence[str], out: Path, *, note: Callable[[str], object] = lambda _: None
) -> list[Path]:
    """Draw figures from stored scores and write each page as PDF and PNG; the same store gives the same bytes.

    Args:
        store: The folder of a run.
        only: Names of figures; without names, all that the store has the data for.
        out: Folder for the files.
        note: Told, a line each, which stored results no figure shows.

    Returns:
        The files written, in the order drawn.

    Raises:
        InputError: If a name is unknown, or a figure that was named, or every figure, lacks its data.
    """
    for name in only:
        if name not in FIGURES:
            raise unknown_name("figure", name, FIGURES)
    source = StoreReadOnce(store)
    for text in left_out_notes(source, current_shards(source)[1]):
        note(text)
    with figure_style():
        pages = _named_pages(source, only) if only else _possible_pages(source)
        written = []
        for page in pages:
            for suffix in FORMATS:
                path = out / f"{page.name}{suffix}"
                save_figure(page.figure, path)
                written.append(path)
    return written


def _named_pages(store: Store, names: Sequence[str]) -> list[FigurePage]:
    return [page for name in dict.fromkeys(names) for page in FIGURES[name](store)]


def _possible_pages(store: Store) -> list[FigurePage]:
    pages: list[FigurePage] = []
    for make_pages in FIGURES.values():
        try:
            pages += make_pages(store)
        except MissingDataError:
            continue  # Not asked for by name: what can be drawn is drawn.
    if not pages:
        raise InputError(
            f"'{store.root}' holds nothing to draw; make scores with "
            f"`bcos-eval run --model MODEL --metric grid_pg --out {store.root}`."
        )
    return pages
