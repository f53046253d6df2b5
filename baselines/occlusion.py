"""Occlusion: how much a logit falls when a square is blanked out."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from bcos_eval.contract.explainer import Style, register_explainer
from bcos_eval.contract.network import Network
from bcos_eval.contract.params import Count, PassSize

from .batching import FORWARD_BATCH_PIXELS, batches

Window = tuple[slice, slice]


@register_explainer(
    "occlusion",
    source="Zeiler & Fergus, ECCV 2014; size and stride 32, as in the B-cos papers",
    family="perturbation",
    style=Style("#882255", "-"),
    expensive=True,
)
def occlusion(
    model: Network,
    images: Tensor,
    targets: Tensor,
    *,
    size: Count = 32,
    stride: Count = 32,
    batch_pixels: PassSize = FORWARD_BATCH_PIXELS,
) -> Tensor:
    """Return each logit's drop under square masks, spread over their pixels, `(B, K, H, W)`.

    A square's drop is divided by its number of pixels and added to all of them; a pixel under several
    squares sums their shares. The squares are filled with the encoded zero. Each masked image is evaluated
    once for all targets.

    Args:
        model: The network to explain.
        images: `(B, 3, H, W)` in [0, 1].
        targets: `(B, K)`.
        size: Side of the squares in pixels; squares are cut at the image's border.
        stride: Distance of neighbouring squares in pixels.
        batch_pixels: Pixels that go through the network at once on a CPU; on CUDA, for every 4 GiB of the card.
    """
    squares = windows(images.shape[-2], images.shape[-1], size, stride)
    encoded = model.encode(images)
    with torch.no_grad():
        before = model(encoded).gather(1, targets)
        maps = [
            _spread(drops - _masked_logits(model, x, wanted, squares, batch_pixels), squares, x)
            for x, wanted, drops in zip(encoded, targets, before, strict=True)
        ]
    return torch.stack(maps)


def windows(height: int, width: int, size: int, stride: int) -> list[Window]:
    """Return squares of side `size`, `stride` apart, that start at the top left and reach the far borders."""
    return [
        (slice(top, min(top + size, height)), slice(left, min(left + size, width)))
        for top in _starts(height, size, stride)
        for left in _starts(width, size, stride)
    ]


def _starts(side: int, size: int, stride: int) -> range:
    last = -(-max(side - size, 0) // stride) * stride
    return range(0, min(last, side - 1) + 1, stride)


def _masked_logits(
    model: Network, encoded: Tensor, targets: Tensor, squares: Sequence[Window], batch_pixels: int
) -> Tensor:
    """Return the targets' logits `(n, K)` with each square set to the encoded zero."""
    parts = []
    for part in batches(len(squares), encoded, batch_pixels):
        masked = encoded.repeat(part.stop - part.start, 1, 1, 1)
        for index, (rows, columns) in enumerate(squares[part]):
            masked[index, :, rows, columns] = 0
        parts.append(model(masked)[:, targets])
    return torch.cat(parts)


def _spread(drops: Tensor, squares: Sequence[Window], encoded: Tensor) -> Tensor:
    """Return maps `(K, H, W)` in which every square's drop `(n, K)` is spread over its pixels."""
    maps = encoded.new_zeros(drops.shape[1], *encoded.shape[1:])
    for drop, (rows, columns) in zip(drops, squares, strict=True):
        square = maps[:, rows, columns]
        square += drop[:, None, None] / square[0].numel()
    return maps
