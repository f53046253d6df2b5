"""Whether the pixels of a region rank above the others: relevance rank, top-K intersection, ROC-AUC."""

from __future__ import annotations

import torch
from scipy import stats
from torch import Tensor

from bcos_eval.contract.exactness import in_float64
from bcos_eval.contract.metric import Batch, MetricInfo, Scored, register_metric
from bcos_eval.contract.params import Count
from bcos_eval.contract.shapes import require_matching
from bcos_eval.contract.statuses import is_zero
from bcos_eval.errors import InputError

from ..ranking import Ties, most_first, rank_of_pixels, tied_share
from .region_scores import mask_undefined, scored_in_region

# Theiner et al. and Quantus.
DEFAULT_K = 1000
AUC_CHANCE = 0.5


def relevance_rank_accuracy(maps: Tensor, regions: Tensor, ties: Ties = "random") -> Tensor:
    """Share of the region's pixels that are among the map's |region| largest entries.

    Args:
        maps: Signed attributions `(B, K, H, W)`, any scale.
        regions: True on the object, `(B, K, H, W)` bool.
        ties: Equal entries at the cut count by the share of them that fits in, which is the mean over all random
            orders; with "index" the smaller row-major index comes first.

    Returns:
        Scores `(B, K)`, float64 in [0, 1], higher is better; chance is the region's share of the area, which is
        what a constant map scores. A zero map scores NaN, and so do a map with NaN or infinity and an empty
        region.

    Raises:
        ValueError: If the shapes differ.
    """
    require_matching(maps, regions)
    size = regions.flatten(2).sum(-1)
    return _undefined_masked(_hits_among_top(maps, regions, size, ties) / size.clamp_min(1).cpu(), maps, regions)


def top_k_intersection(maps: Tensor, regions: Tensor, k: int = DEFAULT_K, ties: Ties = "random") -> Tensor:
    """Share of the map's k largest entries that lie inside the region.

    Args:
        maps: Signed attributions `(B, K, H, W)`, any scale.
        regions: True on the object, `(B, K, H, W)` bool.
        k: Number of entries, whatever the size of the region.
        ties: As for `relevance_rank_accuracy`.

    Returns:
        Scores `(B, K)`, float64 in [0, 1], higher is better; a region below k pixels cannot reach 1, and chance is
        its share of the area, which is what a constant map scores. A zero map scores NaN, and so do a map with NaN
        or infinity and an empty region.

    Raises:
        ValueError: If the shapes differ.
        InputError: If k is not between 1 and the number of pixels.
    """
    require_matching(maps, regions)
    n_pixels = maps.shape[-2] * maps.shape[-1]
    if not 1 <= k <= n_pixels:
        raise InputError(f"k is {k}; give 1 to {n_pixels}, the pixels of these maps.")
    size = torch.full(maps.shape[:2], k)
    return _undefined_masked(_hits_among_top(maps, regions, size, ties) / k, maps, regions)


def region_auc(maps: Tensor, regions: Tensor) -> Tensor:
    """Probability that a pixel of the region has a larger attribution than one outside; ties count one half.

    Args:
        maps: Signed attributions `(B, K, H, W)`, any scale.
        regions: True on the object, `(B, K, H, W)` bool.

    Returns:
        Scores `(B, K)`, float64 in [0, 1], on the CPU, higher is better; chance is 0.5, which is also a constant
        map's score. A zero map scores NaN, and so do a map with NaN or infinity, an empty region and
        one without outside.

    Raises:
        ValueError: If the shapes differ.
    """
    require_matching(maps, regions)
    exact = in_float64(maps).cpu()
    inside = regions.flatten(2).cpu()
    ranks = torch.from_numpy(stats.rankdata(exact.flatten(2).nan_to_num().numpy(), axis=-1))
    n_inside, n_outside = inside.sum(-1), (~inside).sum(-1)
    # Mann-Whitney: pairs won by the region's pixels, from the sum of their ranks.
    won = (ranks * inside).sum(-1) - n_inside * (n_inside + 1) / 2
    return _undefined_masked(won / (n_inside * n_outside), maps, regions)


def _hits_among_top(maps: Tensor, regions: Tensor, size: Tensor, ties: Ties) -> Tensor:
    """Return how many of the `size` `(B, K)` largest entries lie inside, `(B, K)` float64, on the CPU."""
    entries, inside, size = in_float64(maps).flatten(2).cpu(), regions.flatten(2).cpu(), size.cpu()
    if ties == "index":
        return (inside & (rank_of_pixels(most_first(maps)).cpu() < size[..., None])).sum(-1).double()
    descending = entries.sort(-1, descending=True).values
    cut = descending.gather(-1, (size - 1).clamp_min(0)[..., None])
    above, at_cut = entries > cut, entries == cut
    room = (size - above.sum(-1)).double() / at_cut.sum(-1).clamp_min(1)
    return (inside & above).sum(-1) + (inside & at_cut).sum(-1) * room


def _undefined_masked(values: Tensor, maps: Tensor, regions: Tensor) -> Tensor:
    return mask_undefined(values.masked_fill(is_zero(maps).cpu(), torch.nan), maps, regions)


_RANK = MetricInfo(
    name="relevance_rank",
    preset="default",
    stimulus="single",
    direction="higher",
    low=0.0,
    high=1.0,
    chance="area",
    source="Arras et al. 2022, CLEVR-XAI, signed map, mean over all orders of equal entries",
    defaults={"ties": "random"},
)


@register_metric(_RANK, recommended=True)
def _score_rank(batch: Batch, *, ties: Ties) -> Scored:
    values = relevance_rank_accuracy(batch.maps, batch.regions, ties)
    return scored_in_region(values, batch, zero_map=is_zero(batch.maps), tied=tied_share(batch.maps))


@register_metric(
    MetricInfo(
        name="top_k",
        preset="default",
        stimulus="single",
        direction="higher",
        low=0.0,
        high=1.0,
        chance="area",
        source="Theiner et al. 2021, top-K intersection, signed map, mean over all orders of equal entries",
        defaults={"k": DEFAULT_K, "ties": "random"},
    ),
    recommended=True,
)
def _score_top_k(batch: Batch, *, k: Count, ties: Ties) -> Scored:
    values = top_k_intersection(batch.maps, batch.regions, k, ties)
    return scored_in_region(values, batch, zero_map=is_zero(batch.maps), tied=tied_share(batch.maps))


@register_metric(
    MetricInfo(
        name="auc",
        preset="default",
        stimulus="single",
        direction="higher",
        low=0.0,
        high=1.0,
        chance=AUC_CHANCE,
        source="Fawcett 2006, ROC analysis, on the signed map",
    ),
    recommended=True,
)
def _score_auc(batch: Batch) -> Scored:
    """Score `region_auc`; a region without outside is `skipped`."""
    values = region_auc(batch.maps, batch.regions)
    return scored_in_region(
        values,
        batch,
        zero_map=is_zero(batch.maps),
        skipped=batch.regions.flatten(2).all(-1),
        chance=torch.full_like(values, AUC_CHANCE),
    )
