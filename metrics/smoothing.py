"""Average pooling of signed maps, as the localisation metrics of the B-cos papers apply it."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor

from .precision import in_float64


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
    if kernel < 1 or kernel % 2 == 0:
        raise ValueError(f"smoothing is {kernel}; give an odd number of pixels, 1 for none.")
    exact = in_float64(maps)
    if kernel == 1:
        return exact
    return F.avg_pool2d(exact, kernel, stride=1, padding=(kernel - 1) // 2, count_include_pad=True)
