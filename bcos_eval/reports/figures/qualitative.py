"""Figure `qualitative`: stored example images beside their attributions."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby

from bcos_eval.reports.results import Results
from bcos_eval.store.examples import Examples, shows_stimuli

from .explanation_sheet import ExplanationRow, explanation_sheet
from .panels import FigurePage, MissingDataError

_SINGLE = "single"
# Rows of each kind of stimulus, so that a sheet fits a page.
_MOST_ROWS = 4
_CAPTION = (
    "Attributions of stored stimuli: red speaks for the named class, blue against it, each map on a scale of its "
    "own that ends at the 99.5th percentile of its absolute value; controls are pale. The region of the class is "
    "outlined."
)

# Id, position of the target, and pixels: grids of another run may have the same id.
_RowKey = tuple[str, int, bytes]


def qualitative_pages(results: Results) -> list[FigurePage]:
    """Draw a page for each dataset, model and weights: single images first, then grids, one row per target.

    Raises:
        MissingDataError: If no examples are stored.
        InputError: If a file of examples is damaged.
    """
    examples = [one for one in results.examples if shows_stimuli(one.identity)]
    if not examples:
        raise MissingDataError(
            f"figure 'qualitative': '{results.named}' holds no examples; make them with "
            f"`bcos-eval run --model MODEL --metric grid_pg --out {results.folders[0]}`."
        )
    networks = {_network(one) for one in examples}
    pages = []
    for network in sorted(networks):
        own = [one for one in examples if _network(one) == network]
        pages.append(FigurePage(_page_name(network, networks), explanation_sheet(example_rows(own)), _CAPTION))
    return pages


def example_rows(examples: Sequence[Examples]) -> list[ExplanationRow]:
    """Return the rows of one network's sheet from the examples of all its methods."""
    ordered = sorted(examples, key=lambda one: (one.identity.kind != _SINGLE, one.identity.kind))
    rows: list[ExplanationRow] = []
    for _, of_kind in groupby(ordered, key=lambda one: one.identity.kind):
        rows += _rows_of_kind(list(of_kind))[:_MOST_ROWS]
    return rows


def _rows_of_kind(examples: Sequence[Examples]) -> list[ExplanationRow]:
    """One row per stimulus and target that any method has; not every method need have all."""
    places: dict[_RowKey, list[tuple[Examples, int]]] = {}
    for one in examples:
        for index, stimulus in enumerate(one.stimulus_ids):
            for unit in range(one.maps.shape[1]):
                places.setdefault((stimulus, unit, one.images[index].tobytes()), []).append((one, index))
    return [_row(places[key], key[1]) for key in sorted(places)]


def _row(holders: Sequence[tuple[Examples, int]], unit: int) -> ExplanationRow:
    first, at = holders[0]
    colours = [one.rgba[index, unit] for one, index in holders if one.rgba is not None]
    return ExplanationRow(
        label=first.class_names[at][unit],
        image=first.images[at],
        maps={one.identity.method: one.maps[index, unit] for one, index in holders},
        colour=colours[0] if colours else None,
        region=first.regions[at, unit],
    )


def _network(examples: Examples) -> tuple[str, str, str]:
    return examples.identity.dataset, examples.identity.model, examples.identity.weights


def _page_name(network: tuple[str, str, str], networks: set[tuple[str, str, str]]) -> str:
    dataset, model, weights = network
    twins = [other for other in networks if other[:2] == network[:2]]
    return "-".join(["qualitative", dataset, model, *([weights] if len(twins) > 1 else [])])
