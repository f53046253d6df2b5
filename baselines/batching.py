"""How perturbed images go through the network together."""

from __future__ import annotations

from collections.abc import Iterator

from torch import Tensor

from bcos_eval.contract.pass_size import images_per_pass

# Pixels per pass, small: on a CPU, passes whose activations outgrow the cache and the allocator's reuse took up to
# 3.5 times as long per image.
GRADIENT_BATCH_PIXELS = 2**16
FORWARD_BATCH_PIXELS = 2**17


def batches(n_items: int, image: Tensor, batch_pixels: int) -> Iterator[slice]:
    """Cut `n_items` images like `(C, H, W)` into slices that go through the network at once."""
    length = images_per_pass(image, batch_pixels)
    for start in range(0, n_items, length):
        yield slice(start, min(start + length, n_items))
