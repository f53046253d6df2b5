"""Colour goes in as six channels, and a row of the linear summary comes out as a picture in colour."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from .linear_summary import contribution_map

_EPS = 1e-12


def add_inverse(images: Tensor) -> Tensor:
    """Return `[x, 1 − x]`: `(..., 6, H, W)` from images `(..., 3, H, W)` in [0, 1].

    Encodes colour in the direction of a pixel's vector, so that black is not the zero vector.
    Source: Böhle et al., B-cos Networks (CVPR 2022), section 4.
    """
    return torch.cat([images, 1 - images], dim=-3)


def colour_explanation(
    weights: Tensor, encoded: Tensor, *, smoothing: int = 15, alpha_percentile: float = 99.5
) -> Tensor:
    """Return the RGBA image of a row of the linear summary.

    The colour of a pixel is the direction of its weights (the part on `x` against the part on `1 − x`), its
    opacity their norm: averaged over `smoothing × smoothing` pixels and cut off at a percentile. Pixels with
    a negative contribution are transparent.

    Args:
        weights: `W(x)` of one target `(6, H, W)`.
        encoded: Network input `(6, H, W)`.
        smoothing: Odd side of the averaging window, 1 for none; zeros beyond the border count.
        alpha_percentile: Percentile in (0, 100] of the opacities that becomes fully opaque.

    Returns:
        `(4, H, W)` in [0, 1], float32, not premultiplied.

    Raises:
        ValueError: If `smoothing` is even or not positive.

    Source: Böhle et al., B-cos Networks (CVPR 2022), section 4 and figure 1; official `gradient_to_image`.
    """
    if smoothing < 1 or smoothing % 2 == 0:
        raise ValueError(f"smoothing must be an odd number of pixels, got {smoothing}")
    direction = (weights / (weights.abs().amax(0, keepdim=True) + _EPS)).clamp(min=0)
    rgb = direction[:3] / (direction[:3] + direction[3:] + _EPS)
    contribution = contribution_map(weights, encoded)[None]
    alpha = torch.where(contribution < 0, _EPS, torch.linalg.vector_norm(weights, dim=0, keepdim=True))
    if smoothing > 1:
        alpha = F.avg_pool2d(alpha[None], smoothing, stride=1, padding=smoothing // 2)[0]
    cut = torch.quantile(alpha.double(), alpha_percentile / 100).to(alpha.dtype).clamp(min=_EPS)
    return torch.cat([rgb, (alpha / cut).clamp(0, 1)]).float()
