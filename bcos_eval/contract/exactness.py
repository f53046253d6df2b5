"""The precision of sums, ratios and ranks."""

from __future__ import annotations

import torch
from torch import Tensor


def in_float64(values: Tensor) -> Tensor:
    """Return the values in float64, on the CPU where their device has no such type (Apple's GPUs)."""
    detached = values.detach()
    return detached.cpu().double() if detached.device.type == "mps" else detached.to(torch.float64)
