"""How many images go through a network at once."""

from __future__ import annotations

import math

import torch
from torch import Tensor

# What a card has at least of the memory it is sold with.
_USABLE = 0.9
# CUDA cards take a CPU's pixels for so much of their memory.
_GIB_PER_SHARE = 4


def images_per_pass(image: Tensor, batch_pixels: int) -> int:
    """Return how many copies of an image `(…, H, W)` make a pass, one at least.

    Args:
        image: On the device that computes.
        batch_pixels: Pixels of a pass on a CPU; on CUDA, for every 4 GiB of the card, which a CPU's passes would
            leave idle.
    """
    shares = max(memory_class_gib(image.device) // _GIB_PER_SHARE, 1) if image.device.type == "cuda" else 1
    return max(1, batch_pixels * shares // (image.shape[-2] * image.shape[-1]))


def memory_class_gib(device: torch.device) -> int:
    """Return which class of memory a CUDA card is of, 1, 2, 4, … GiB, whatever of it is free."""
    return memory_class_of(torch.cuda.get_device_properties(device).total_memory)


def memory_class_of(n_bytes: int) -> int:
    """Return the class of a card with so much memory.

    Example:
        >>> [memory_class_of(int(gib * 2**30)) for gib in (15.8, 39.4, 79.1, 139.8)]
        [16, 32, 64, 128]
    """
    return 2 ** math.floor(math.log2(max(n_bytes / _USABLE / 2**30, 1)))
