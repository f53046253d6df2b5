"""Figure `comparison`: a conventional network and its B-cos twin in paired rows, by the same methods."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence

from bcos_eval.errors import unknown_name
from bcos_eval.reports.methods import method_order, short_names
from bcos_eval.reports.results import Results
from bcos_eval.reports.tables.table import number
from bcos_eval.store.examples import Examples
from bcos_eval.store.facts import MethodFacts

from .explanation_sheet import on_white
from .panels import FigurePage, MissingDataError, file_name, pages_of
from .picture_grid import Picture, PictureRow, cut_out_pixels, map_pixels, picture_grids
from .style import settings_sentence

_SINGLE = "single"
_BCOS = "bcos_"
_MOST_STIMULI = 3
# Columns of a page, beside the input and the colours.
_MOST_METHODS = 8
# The first of these that was measured is written below the maps.
_SCORES = ("energy_pg/", "relevance_mass/", "pointing_game/", "pixel_deletion/")
_COLOUR = "bcos in colour"
# Characters of a line below the input.
_NAME_WIDTH = 10

Network = tuple[str, str, str]


def comparison_pages(results: Results, cut_out: Sequence[str] = ()) -> list[FigurePage]:
    """Draw, for each dataset and pair of networks, single images explained by both, a row for each network.

    Args:
        results: What is drawn.
        cut_out: Names of methods drawn as the part of the image that their map is positive on, which is how the
            papers print LIME.

    Raises:
        MissingDataError: If no examples of a network and of its B-cos twin are stored.
        InputError: If no example is explained by a method of `cut_out`.
    """
    stored = sorted({one.identity.method.name for one in results.examples if one.identity.kind == _SINGLE})
    for name in cut_out:
        if name not in stored:
            raise unknown_name("stored method", name, stored)
    by_network: dict[Network, list[Examples]] = {}
    for one in results.examples:
        if one.identity.kind == _SINGLE:
            network = (one.identity.dataset, one.identity.model, one.identity.weights)
            by_network.setdefault(network, []).append(one)
    pages = []
    for network in sorted(by_network):
        dataset, model, _ = network
        twins = [other for other in sorted(by_network) if other[:2] == (dataset, f"{_BCOS}{model}")]
        for twin in twins[:1]:
            drawn = _pair_page(results, [(network, by_network[network]), (twin, by_network[twin])], cut_out)
            pages += drawn
    if not pages:
        raise MissingDataError(
            f"figure 'comparison': '{results.named}' holds no examples of a network and of its B-cos twin; make "
            "them with `bcos-eval run --model resnet18,bcos_resnet18 --metric energy_pg "
            f"--out {results.folders[0]}`."
        )
    return pages


def _pair_page(
    results: Results, pair: Sequence[tuple[Network, Sequence[Examples]]], cut_out: Sequence[str]
) -> list[FigurePage]:
    (dataset, model, _), _ = pair[0]
    own = [{one.identity.method: one for one in examples} for _, examples in pair]
    every = method_order(set(own[0]) | set(own[1]))
    methods = [method for method in every if not method.is_control] or every
    scored = [
        values
        for (network, _), of_method in zip(pair, own, strict=True)
        for method, one in of_method.items()
        for at in range(len(one.stimulus_ids))
        for values in [results.example_scores.get(_score_key(network, one, method, at), {})]
    ]
    metric = next(
        (name for start in _SCORES for values in scored for name in values if name.startswith(start)), ""
    )
    stimuli = list(dict.fromkeys(s for of_method in own for one in of_method.values() for s in one.stimulus_ids))
    figures = []
    for start in range(0, len(methods), _MOST_METHODS):
        shown = methods[start : start + _MOST_METHODS]
        rows = []
        for stimulus in stimuli[:_MOST_STIMULI]:
            for number_of, ((network, _), of_method) in enumerate(zip(pair, own, strict=True)):
                row = _row(results, network, of_method, shown, stimulus, metric, cut_out)
                if row is not None:
                    rows.append(PictureRow(*row, starts_group=number_of == 0))
        called = short_names(every)
        figures += picture_grids(rows, ["input", _COLOUR, *(called[method] for method in shown)])
    cut = f" Cut-outs ({', '.join(cut_out)}): the part of the image where the map is positive." if cut_out else ""
    below = f" Below each map: {metric}." if metric else ""
    caption = (
        f"{model} and its B-cos twin on the same images, explained for the same classes by the same methods. Red "
        f"speaks for the class, blue against it; a dash: the method does not exist for the network.{cut}{below}"
    )
    return pages_of(file_name("comparison", dataset, model), figures, caption + settings_sentence(methods))


def _row(
    results: Results,
    network: Network,
    of_method: Mapping[MethodFacts, Examples],
    methods: Sequence[MethodFacts],
    stimulus: str,
    metric: str,
    cut_out: Sequence[str],
) -> tuple[str, list[Picture]] | None:
    holders = {
        method: (one, one.stimulus_ids.index(stimulus))
        for method, one in of_method.items()
        if stimulus in one.stimulus_ids
    }
    if not holders:
        return None
    first, at = next(iter(holders.values()))
    colours = [one.rgba[place, 0] for one, place in holders.values() if one.rgba is not None]
    pictures = [Picture(first.images[at], textwrap.fill(first.class_names[at][0], _NAME_WIDTH))]
    pictures.append(Picture(on_white(colours[0])) if colours else Picture(None, "–"))
    for method in methods:
        if method not in holders:
            pictures.append(Picture(None, "–"))
            continue
        one, place = holders[method]
        score = results.example_scores.get(_score_key(network, one, method, place), {}).get(metric)
        text = "" if score is None else number(score)
        values = one.maps[place, 0]
        shown = cut_out_pixels(one.images[place], values) if method.name in cut_out else map_pixels(values)
        pictures.append(Picture(shown, text))
    return network[1], pictures


def _score_key(network: Network, one: Examples, method: MethodFacts, at: int) -> tuple[str, ...]:
    return (*network, method.label, one.stimulus_ids[at], str(int(one.targets[at, 0])))
