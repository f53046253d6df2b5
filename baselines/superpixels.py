"""Superpixels of an image, and images with some of them removed."""

from __future__ import annotations

import torch
from skimage.segmentation import quickshift
from torch import Tensor

from bcos_eval.contract.network import Network

from .batching import batches

# Source: B-cos-v2, explainers/lime.py; also the defaults of the `lime` package.
KERNEL_SIZE = 4
_MAX_DISTANCE = 200
_COLOUR_RATIO = 0.2

# Quickshift breaks ties by noise; a fixed seed makes the superpixels a function of the image alone.
_TIE_SEED = 42


def superpixels(encoded: Tensor, *, kernel_size: int = KERNEL_SIZE) -> Tensor:
    """Return the quickshift superpixel of every pixel, `(H, W)`, int64 in 0 … S − 1.

    Works on the first three channels of the network input `(C, H, W)`: the raw image for a B-cos network, the
    standardised one for a standard network, whose superpixels therefore differ. A larger `kernel_size` gives
    fewer superpixels; with 4 a photograph of 64 × 64 pixels falls into about five.
    """
    picture = encoded[:3].permute(1, 2, 0).double().cpu().numpy()
    labels = quickshift(  # type: ignore[no-untyped-call] # skimage ships no type information
        picture, kernel_size=kernel_size, max_dist=_MAX_DISTANCE, ratio=_COLOUR_RATIO, rng=_TIE_SEED
    )
    _, dense = torch.from_numpy(labels).unique(return_inverse=True)
    return dense.to(encoded.device)


def mean_colours(encoded: Tensor, segments: Tensor) -> Tensor:
    """Return the input `(C, H, W)` with every pixel set to the mean of its superpixel.

    The mean is taken in encoded space; both encodings are affine, so it is the mean colour in pixels too.
    """
    flat, index = encoded.flatten(1).double(), segments.flatten()
    n_segments = int(index.max()) + 1
    sums = flat.new_zeros(len(flat), n_segments).index_add_(1, index, flat)
    means = sums / index.bincount(minlength=n_segments)
    return means[:, index].view_as(encoded).to(encoded.dtype)


def without_superpixels(encoded: Tensor, fill: Tensor, segments: Tensor, keep: Tensor) -> Tensor:
    """Return the input with superpixels replaced by the fill where `keep` is False.

    Args:
        encoded: `(C, H, W)`.
        fill: `(C, H, W)`.
        segments: Superpixel of every pixel, `(H, W)`.
        keep: `(n, S)`, bool.

    Returns:
        `(n, C, H, W)`.
    """
    return torch.where(keep[:, segments][:, None], encoded, fill)


def masked_logits(model: Network, encoded: Tensor, segments: Tensor, keep: Tensor, batch_pixels: int) -> Tensor:
    """Return the logits `(n, classes)` of images with superpixels set to their mean colour.

    Args:
        model: Frozen network.
        encoded: `(C, H, W)`.
        segments: Superpixel of every pixel, `(H, W)`.
        keep: False for the superpixels to remove, `(n, S)` bool.
        batch_pixels: Pixels that go through the network at once.
    """
    fill = mean_colours(encoded, segments)
    with torch.no_grad():
        return torch.cat(
            [
                model(without_superpixels(encoded, fill, segments, keep[part]))
                for part in batches(len(keep), segments.numel(), batch_pixels)
            ]
        )
