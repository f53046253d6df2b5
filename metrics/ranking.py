"""Orders of the pixels of a map, the same on every platform: ties go to the smaller row-major index."""

from __future__ import annotations

import torch
from torch import Tensor

from bcos_eval.contract.exactness import in_float64


def least_first(maps: Tensor) -> Tensor:
    """Return pixel indices from the smallest to the largest entry, `(..., H·W)` int64, for maps `(..., H, W)`."""
    return _stable_order(in_float64(maps).flatten(-2))


def most_first(maps: Tensor) -> Tensor:
    """Return pixel indices from the largest to the smallest entry, `(..., H·W)` int64, for maps `(..., H, W)`.

    On ties this is not the reverse of `least_first`: both prefer the smaller index.
    """
    return _stable_order(-in_float64(maps).flatten(-2))


def rank_of_pixels(order: Tensor) -> Tensor:
    """Return at which place of an order `(..., N)` each index comes, `(..., N)` int64."""
    places = torch.arange(order.shape[-1], device=order.device).expand_as(order)
    return torch.empty_like(order).scatter_(-1, order, places)


def _stable_order(keys: Tensor) -> Tensor:
    # Adding 0 turns -0.0 into 0.0: a radix sort would not take them for a tie.
    return (keys + 0.0).argsort(dim=-1, stable=True)
