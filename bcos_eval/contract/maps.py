"""Maps of several targets."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor


def stack_targets(maps: Iterable[Tensor], images: Tensor) -> Tensor:
    """Return maps `(B, K, H, W)` from those of each target `(B, H, W)`; `images` `(B, …, H, W)` give the size."""
    stacked = list(maps)
    return torch.stack(stacked, 1) if stacked else images.new_empty(len(images), 0, *images.shape[-2:])
