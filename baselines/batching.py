"""How many perturbed images go through the network at once."""

from __future__ import annotations

from collections.abc import Iterator

# Pixels per pass, small: on a CPU, passes whose activations outgrow the cache and the allocator's reuse took up to
# 3.5 times as long per image. A GPU wants more (`--param lime.batch_pixels=...`). A single image may be larger.
GRADIENT_BATCH_PIXELS = 2**16
FORWARD_BATCH_PIXELS = 2**17


def batches(n_items: int, pixels_per_item: int, batch_pixels: int) -> Iterator[slice]:
    """Cut `n_items` images of `pixels_per_item` pixels into slices of at most `batch_pixels` pixels.

    A slice holds at least one image.
    """
    length = max(1, batch_pixels // pixels_per_item)
    for start in range(0, n_items, length):
        yield slice(start, min(start + length, n_items))
