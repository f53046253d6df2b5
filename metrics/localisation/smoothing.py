"""Smoothing of signed maps, as localisation metrics apply it before they drop negative entries."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from bcos_eval.contract.exactness import in_float64


def smooth(maps: Tensor, kernel: int) -> Tensor:
    """Return the mean of each pixel's `kernel` × `kernel` neighbourhood, zeros assumed outside the map.

    The zeros count in the mean, so mass near the border shrinks; B-cos v2's `localisation.py` does the same.

    Args:
        maps: Signed maps `(B, K, H, W)`.
        kernel: Odd side in pixels; 1 changes nothing.

    Returns:
        Smoothed maps `(B, K, H, W)`, float64. NaN and infinity spread over their neighbourhood.

    Raises:
        ValueError: If the kernel is not odd and positive.
    """
    _require_odd(kernel)
    exact = in_float64(maps)
    if kernel == 1:
        return exact
    return F.avg_pool2d(exact, kernel, stride=1, padding=(kernel - 1) // 2, count_include_pad=True)


def gaussian_smooth(maps: Tensor, kernel: int, sigma: float) -> Tensor:
    """Return maps blurred by a Gaussian that is cut off at `kernel` pixels, mirrored at the border.

    The mirror leaves out the border pixel itself, as torchvision's `gaussian_blur` does.

    Args:
        maps: Signed maps `(B, K, H, W)`.
        kernel: Odd side of the Gaussian in pixels.
        sigma: Its standard deviation in pixels.

    Returns:
        Smoothed maps `(B, K, H, W)`, float64.

    Raises:
        ValueError: If the kernel is not odd and positive, or half of it does not fit into the maps.
    """
    _require_odd(kernel)
    radius = (kernel - 1) // 2
    if radius >= min(maps.shape[-2:]):
        height, width = maps.shape[-2:]
        raise ValueError(
            f"a Gaussian of {kernel} pixels cannot be mirrored at the border of maps of {height}×{width}; "
            f"give maps of {radius + 1} pixels or more."
        )
    exact = in_float64(maps)
    distance = torch.arange(-radius, radius + 1, dtype=exact.dtype, device=exact.device)
    weights = torch.exp(-0.5 * (distance / sigma) ** 2)
    weights = weights / weights.sum()
    padded = F.pad(exact, [radius] * 4, mode="reflect").flatten(0, 1)[:, None]  # (B·K, 1, H, W)
    rows = F.conv2d(padded, weights[None, None, None])
    return F.conv2d(rows, weights[None, None, :, None]).view(maps.shape)


def _require_odd(kernel: int) -> None:
    if kernel < 1 or kernel % 2 == 0:
        raise ValueError(f"smoothing is {kernel}; give an odd number of pixels, 1 for none.")
