"""Attributions of stimuli that a network is shown in parts: window by window, or cell by cell."""

from __future__ import annotations

from collections.abc import Iterator
from types import EllipsisType

import torch
import torch.nn.functional as F
from torch import Tensor

from bcos_eval.contract.network import Network

from .kind import Explain
from .network_views import MaskedInput


def explain_windows(explain: Explain, network: Network, images: Tensor, targets: Tensor, n: int) -> Tensor:
    """Return the mean over all windows of a cell's size that cover a pixel, half a cell apart (ALOE).

    Args:
        explain: Makes the attributions of a network.
        network: The network to explain.
        images: Grids `(B, 3, H, W)` in [0, 1].
        targets: `(B, K)`.
        n: Cells per side.

    Returns:
        Signed maps `(B, K, H, W)`.

    Raises:
        ValueError: If cells have an odd side.
    """
    side = images.shape[-1] // n
    total = images.new_zeros(*targets.shape, *images.shape[-2:])
    coverage = images.new_zeros(images.shape[-2:])
    for window in window_slices(images.shape[-1], side):
        total[window] += explain(network, images[window].contiguous(), targets)
        coverage[window[1:]] += 1
    return total / coverage


def explain_padded_windows(explain: Explain, network: Network, images: Tensor, targets: Tensor, n: int) -> Tensor:
    """Return the sum over windows of a cell's size, half a cell apart, that begin half a cell outside.

    Outside, the network's input is zero, which is no colour to a B-cos network. Each pixel is in four windows.
    Arguments and errors as for `explain_windows`.

    Source: Arya et al., B-cosification (NeurIPS 2024).
    """
    side = images.shape[-1] // n
    margin = [side // 2] * 4
    padded = F.pad(images, margin)
    inside = F.pad(torch.ones(images.shape[-2:], device=images.device), margin)
    view = MaskedInput(network)
    total = padded.new_zeros(*targets.shape, *padded.shape[-2:])
    for window in window_slices(padded.shape[-1], side):
        view.show(inside[window[1:]])
        total[window] += explain(view, padded[window].contiguous(), targets)
    return total[..., side // 2 : -(side // 2), side // 2 : -(side // 2)]


def window_slices(image_side: int, window_side: int) -> Iterator[tuple[EllipsisType, slice, slice]]:
    """Yield the windows of a square image, half a window apart, row by row, as indices of its last two axes.

    Raises:
        ValueError: If half a window is not a whole number of pixels.
    """
    if window_side % 2:
        raise ValueError(f"windows of {window_side} pixels have no half; give cells of an even side.")
    starts = range(0, image_side - window_side + 1, window_side // 2)
    for top in starts:
        for left in starts:
            yield ..., slice(top, top + window_side), slice(left, left + window_side)
