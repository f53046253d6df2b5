"""Checks of tensors where they enter the package."""

from __future__ import annotations

import torch
from torch import Tensor


def require_matching(maps: Tensor, regions: Tensor) -> None:
    """Demand maps `(B, K, H, W)` and boolean regions of the same shape.

    Raises:
        ValueError: If they are not.
    """
    if maps.ndim != 4:
        raise ValueError(f"maps have shape {tuple(maps.shape)}; give (B, K, H, W), channels summed.")
    if regions.shape != maps.shape:
        raise ValueError(
            f"regions have shape {tuple(regions.shape)}, maps {tuple(maps.shape)}; give one region per map."
        )
    if regions.dtype != torch.bool:
        raise ValueError(f"regions are {regions.dtype}; give torch.bool, True inside.")


def require_batch_shapes(maps: Tensor, images: Tensor, targets: Tensor, regions: Tensor) -> None:
    """Demand maps, images, targets and regions of the same B, K, H and W.

    Raises:
        ValueError: If they do not fit.
    """
    require_matching(maps, regions)
    n_images, n_targets, height, width = maps.shape
    if images.ndim != 4 or images.shape[0] != n_images or images.shape[2:] != maps.shape[2:]:
        raise ValueError(
            f"images have shape {tuple(images.shape)}; give ({n_images}, 3, {height}, {width}) for these maps."
        )
    if targets.shape != maps.shape[:2]:
        raise ValueError(
            f"targets have shape {tuple(targets.shape)}; give ({n_images}, {n_targets}) for these maps."
        )
