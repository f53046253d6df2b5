"""Weights and images that everybody can make again, for comparisons with other code.

Values are drawn from generators named after the keys of the state dict, scaled as for training; then the norms
measure one batch of images, so that no layer's signal fades away, as it would in B-cos networks, whose layers with
random weights shrink what they are given.
"""

from __future__ import annotations

import hashlib
import math

import torch
from torch import Tensor, nn


def generator_of(*words: object) -> torch.Generator:
    """A generator that belongs to some words."""
    digest = hashlib.sha256("/".join(map(str, words)).encode()).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest[:7], "big"))


def image_batch(count: int, side: int) -> Tensor:
    """Images `(count, 3, side, side)` in [0, 1]: smooth colours under waves and noise."""
    rows, columns = torch.meshgrid(torch.linspace(0, 1, side), torch.linspace(0, 1, side), indexing="ij")
    images = []
    for index in range(count):
        generator = generator_of("image", index)
        waves = torch.rand(3, 4, generator=generator)[..., None, None]
        wave = torch.sin(12 * (waves[:, 0] * rows + waves[:, 1] * columns) + 6 * waves[:, 2])
        noise = torch.rand(3, side, side, generator=generator)
        images.append(0.2 + 0.3 * waves[:, 3] + 0.15 * (1 + wave) + 0.2 * noise)
    return torch.stack(images)


@torch.no_grad()
def fill(model: nn.Module, encoded: Tensor) -> nn.Module:
    """The model in evaluation mode with reproducible weights, its norms fitted to a batch of network input."""
    for key, value in model.state_dict().items():
        if value.is_floating_point() and not key.rsplit(".", 1)[-1].startswith("running_"):
            drawn = torch.randn(value.shape, generator=generator_of(key))
            if key.endswith("bias"):
                drawn = 0.1 * drawn
            elif value.ndim >= 2:
                drawn = drawn * math.sqrt(2 / max(1, value[0].numel()))
            else:
                drawn = 1 + 0.1 * drawn
            value.copy_(drawn)
    model.eval()
    norms = [module for module in model.modules() if getattr(module, "running_var", None) is not None]
    momenta = [norm.momentum for norm in norms]
    for norm in norms:
        norm.train()
        norm.momentum = 1.0
    model(encoded)
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum
    return model.eval()
