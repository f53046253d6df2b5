"""How many perturbed images go through the network at once."""

from __future__ import annotations

from collections.abc import Iterator

from bcos_eval.errors import InputError

# Pixels per pass. A ResNet-50 keeps about 2 kB of activations per pixel for the backward pass, so that one
# 672 × 672 grid or ten 224 × 224 images stay near 1 GB; without a backward pass four times as many do.
GRADIENT_BATCH_PIXELS = 2**16
FORWARD_BATCH_PIXELS = 2**17


def batches(n_items: int, pixels_per_item: int, batch_pixels: int) -> Iterator[slice]:
    """Cut `n_items` images of `pixels_per_item` pixels into slices of at most `batch_pixels` pixels.

    A slice holds at least one image.

    Raises:
        InputError: If `batch_pixels` is not positive.
    """
    if batch_pixels < 1:
        raise InputError(f"batch_pixels={batch_pixels} is not allowed; use 1 or more")
    length = max(1, batch_pixels // pixels_per_item)
    for start in range(0, n_items, length):
        yield slice(start, min(start + length, n_items))
