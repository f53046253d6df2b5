"""The six-channel input of B-cos networks."""

from __future__ import annotations

import torch
from torch import Tensor


def add_inverse(images: Tensor) -> Tensor:
    """Return `[x, 1 − x]`: `(..., 6, H, W)` from images `(..., 3, H, W)` in [0, 1].

    Encodes colour in the direction of a pixel's vector, so that black is not the zero vector.
    Source: Böhle et al., B-cos Networks (CVPR 2022), section 4.
    """
    return torch.cat([images, 1 - images], dim=-3)
