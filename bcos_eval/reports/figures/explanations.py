"""Figures of B-cos networks' own explanations: `explanations` in colour, `evidence` for one class over another."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby

import numpy as np

from bcos_eval.reports.results import Results
from bcos_eval.store.examples import TWO_MOST_LIKELY, UNIT_KIND, Examples

from .explanation_sheet import on_white, symmetric_limit
from .panels import FigurePage, MissingDataError, file_name, pages_of
from .picture_grid import Picture, PictureRow, map_pixels, picture_grids

_SINGLE = "single"
_METHOD = "bcos"
# Columns of a page.
_MOST_IMAGES = 6
_MOST_PAIRS = 2

_COLOUR_CAPTION = (
    "Inputs and the explanations of B-cos networks in colour: the row of the linear summary that belongs to the "
    "class, opaque where it is strong and contributes to the class."
)
_EVIDENCE_CAPTION = (
    "Why one class rather than another: what each pixel contributes to the logits of the two most likely classes, "
    "and the difference of both. Red for, blue against; all three maps of a row have one scale. Maps sum to the "
    "numbers below them, the logits without the logit bias, which both classes share."
)
_UNITS_CAPTION = (
    "What hidden units of a B-cos network respond to: the images with the largest activations, over the "
    "explanation of the unit in colour. The numbers are the activations, to which all contributions sum."
)


def explanation_pages(results: Results) -> list[FigurePage]:
    """Draw, for each dataset, inputs over their colour explanations, a row per architecture, and a second page.

    The second page shows the two most likely classes of an image side by side, for each network.

    Raises:
        MissingDataError: If no colour explanations are stored.
    """
    coloured = [one for one in results.examples if one.rgba is not None and one.identity.kind == _SINGLE]
    if not coloured:
        raise _missing("explanations", results)
    pages = []
    for dataset, of_dataset in groupby(sorted(coloured, key=_key), key=lambda one: one.identity.dataset):
        figures = picture_grids(_rows_by_architecture(list(of_dataset)))
        pages += pages_of(file_name("explanations", dataset), figures, _COLOUR_CAPTION)
    for dataset, of_dataset in groupby(_pairs(results), key=lambda one: one.identity.dataset):
        figures = picture_grids(_rows_of_two_classes(list(of_dataset)))
        pages += pages_of(file_name("explanations", dataset, "two_classes"), figures, _COLOUR_CAPTION)
    return pages


def evidence_pages(results: Results) -> list[FigurePage]:
    """Draw, for each dataset and network, the contributions to two classes and to their difference.

    Raises:
        MissingDataError: If no explanations of two classes are stored.
    """
    pairs = _pairs(results)
    if not pairs:
        raise _missing("evidence", results)
    pages = []
    for one in pairs:
        figures = picture_grids(_evidence_rows(one), ("input", "class 1", "class 2", "1 rather than 2"))
        pages += pages_of(
            file_name("evidence", one.identity.dataset, one.identity.model), figures, _EVIDENCE_CAPTION
        )
    return pages


def unit_pages(results: Results) -> list[FigurePage]:
    """Draw, for each dataset and network, the images that hidden units respond to most over their explanations.

    Raises:
        MissingDataError: If none are stored.
    """
    kept = [one for one in results.examples if one.identity.kind.startswith(UNIT_KIND) and one.rgba is not None]
    if not kept:
        raise MissingDataError(
            f"figure 'units': '{results.named}' holds no images of hidden units; make them with "
            f"`bcos-eval units --model bcos_resnet18 --unit layer4.1:37 --out {results.folders[0]}`."
        )
    pages = []
    for (dataset, model, _), of_network in groupby(sorted(kept, key=_key), key=_key):
        rows = [row for one in of_network for row in _unit_rows(one)]
        pages += pages_of(file_name("units", dataset, model), picture_grids(rows), _UNITS_CAPTION)
    return pages


def _unit_rows(one: Examples) -> list[PictureRow]:
    """The top images of a unit with their classes, and below what speaks for the unit with what it sums to."""
    if one.rgba is None:
        return []
    n, name = len(one.stimulus_ids), one.identity.kind.removeprefix(UNIT_KIND)
    above = [Picture(one.images[at], one.class_names[at][0]) for at in range(n)]
    below = [Picture(on_white(one.rgba[at, 0]), f"{_total(one, at, 0):.2f}") for at in range(n)]
    return [PictureRow(name.replace(" (", "\n("), above, starts_group=True), PictureRow("", below)]


def _missing(name: str, results: Results) -> MissingDataError:
    return MissingDataError(
        f"figure '{name}': '{results.named}' holds no explanations of B-cos networks; make them with "
        f"`bcos-eval run --model bcos_resnet18 --method bcos --metric energy_pg --out {results.folders[0]}`."
    )


def _key(one: Examples) -> tuple[str, str, str]:
    return one.identity.dataset, one.identity.model, one.identity.weights


def _pairs(results: Results) -> list[Examples]:
    kept = [one for one in results.examples if one.identity.kind == TWO_MOST_LIKELY and one.maps.shape[1] == 2]
    return sorted(kept, key=_key)


def _rows_by_architecture(examples: Sequence[Examples]) -> list[PictureRow]:
    """The inputs of all networks, each once, and for each network what it says of them."""
    inputs: dict[str, tuple[np.ndarray, str]] = {}
    for one in examples:
        for at, stimulus in enumerate(one.stimulus_ids):
            inputs.setdefault(stimulus, (one.images[at], one.class_names[at][0]))
    columns = list(inputs)[:_MOST_IMAGES]
    rows = [PictureRow("input", [Picture(*inputs[stimulus]) for stimulus in columns])]
    for one in examples:
        if one.rgba is None:
            continue
        places = {stimulus: at for at, stimulus in enumerate(one.stimulus_ids)}
        pictures = [
            Picture(on_white(one.rgba[places[stimulus], 0])) if stimulus in places else Picture(None, "–")
            for stimulus in columns
        ]
        rows.append(PictureRow(one.identity.model.replace("_", "_\n", 1), pictures))
    return rows


def _rows_of_two_classes(examples: Sequence[Examples]) -> list[PictureRow]:
    rows = []
    for one in examples:
        if one.rgba is None:
            continue
        pictures: list[Picture] = []
        for at in range(min(_MOST_PAIRS, len(one.stimulus_ids))):
            first, second = (
                Picture(on_white(one.rgba[at, k]), f"{one.class_names[at][k]}\n{_total(one, at, k):+.2f}")
                for k in range(2)
            )
            pictures += [Picture(one.images[at], "input"), first, second]
        rows.append(PictureRow(one.identity.model.replace("_", "_\n", 1), pictures))
    return rows


def _evidence_rows(one: Examples) -> list[PictureRow]:
    rows = []
    for at in range(len(one.stimulus_ids)):
        first, second = one.maps[at].astype(np.float64)
        limit = max(symmetric_limit(values) for values in (first, second, first - second))
        names = one.class_names[at]
        texts = (f"{names[0]}", f"{names[1]}", "difference")
        pictures = [
            Picture(map_pixels(values, limit), f"{text}\n{np.nansum(values):+.2f}")
            for values, text in zip((first, second, first - second), texts, strict=True)
        ]
        rows.append(PictureRow("", [Picture(one.images[at]), *pictures]))
    return rows


def _total(one: Examples, at: int, k: int) -> float:
    return float(np.nansum(one.maps[at, k].astype(np.float64)))
