"""Orders of the pixels of a map, ranks, and rank correlation, the same on every platform.

Maps of blocks (GradCAM, LIME, superpixels) have thousands of equal entries. An order that gives ties to the
smaller index removes them row by row, which is a contiguous region, and scores it as such. The suite's own
metrics therefore draw the order among equal entries at random (`ties="random"`); presets that reproduce published
code keep the index order (`ties="index"`).
"""

from __future__ import annotations

from typing import Literal

import torch
from scipy import stats
from torch import Tensor
from torch.nn import functional as F

from bcos_eval.contract.exactness import in_float64
from bcos_eval.contract.metric import Batch
from bcos_eval.seeding import derived_generator, image_key

First = Literal["most", "least"]
Ties = Literal["random", "index"]


def least_first(maps: Tensor) -> Tensor:
    """Return pixel indices from the smallest to the largest entry, `(..., H·W)` int64, for maps `(..., H, W)`.

    Ties go to the smaller row-major index.
    """
    return _stable_order(in_float64(maps).flatten(-2))


def most_first(maps: Tensor) -> Tensor:
    """Return pixel indices from the largest to the smallest entry, `(..., H·W)` int64, for maps `(..., H, W)`.

    On ties this is not the reverse of `least_first`: both prefer the smaller index.
    """
    return _stable_order(-in_float64(maps).flatten(-2))


def pixel_order(batch: Batch, first: First, ties: Ties) -> Tensor:
    """Return the order in which the pixels of a batch's maps are touched, `(B, K, H·W)` int64.

    Args:
        batch: Maps; images and seed, to which a random order of ties belongs: every explainer and target of an
            image has the same.
        first: Whether the largest or the smallest entries come first. With random ties one order is the other's
            reverse.
        ties: How equal entries are ordered: at random, or by their row-major index.
    """
    if ties == "index":
        return most_first(batch.maps) if first == "most" else least_first(batch.maps)
    entries = batch.maps.flatten(-2)
    shuffled = tie_order(batch)[:, None].expand_as(entries)
    ascending = shuffled.gather(-1, _stable_order(entries.gather(-1, shuffled)))
    return ascending if first == "least" else ascending.flip(-1)


def tie_order(batch: Batch) -> Tensor:
    """Return all pixel indices of each image in a random order of its own, `(B, H·W)` int64."""
    n_pixels = batch.maps.shape[-2] * batch.maps.shape[-1]
    generators = (derived_generator(batch.seed, "ties", image_key(image)) for image in batch.images)
    orders = [torch.randperm(n_pixels, generator=generator) for generator in generators]
    return torch.stack(orders).to(batch.maps.device)


def tied_share(maps: Tensor) -> Tensor:
    """Return the share of a map's pixels whose value another pixel has too, `(B, K)` float64, on the CPU."""
    ascending = maps.flatten(2).sort(-1).values
    equal = ascending[..., 1:] == ascending[..., :-1]
    return (F.pad(equal, (1, 0)) | F.pad(equal, (0, 1))).double().mean(-1).cpu()


def rank_of_pixels(order: Tensor) -> Tensor:
    """Return at which place of an order `(..., N)` each index comes, `(..., N)` int64."""
    places = torch.arange(order.shape[-1], device=order.device).expand_as(order)
    return torch.empty_like(order).scatter_(-1, order, places)


def centred_ranks(values: Tensor) -> Tensor:
    """Return ranks along the last axis, float64 on the CPU, minus their mean; ties get average ranks."""
    ranks = torch.from_numpy(stats.rankdata(in_float64(values).cpu().numpy(), axis=-1))
    return ranks - (values.shape[-1] + 1) / 2


def rank_correlation(first: Tensor, second: Tensor) -> Tensor:
    """Return Spearman's correlation along the last axis, float64 in [-1, 1].

    Ties get average ranks; NaN where either side is constant.
    """
    ranks = [centred_ranks(values) for values in (first, second)]
    covariance = (ranks[0] * ranks[1]).sum(-1)
    scale = (ranks[0].square().sum(-1) * ranks[1].square().sum(-1)).sqrt()
    return (covariance / scale).clamp(-1, 1).masked_fill(scale == 0, torch.nan)


def _stable_order(keys: Tensor) -> Tensor:
    # Adding 0 turns -0.0 into 0.0: a radix sort would not take them for a tie.
    return (keys + 0.0).argsort(dim=-1, stable=True)
