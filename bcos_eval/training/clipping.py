"""Adaptive gradient clipping."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor, nn

# Weights of smaller norm are clipped as if they had this norm, so that zeros can leave zero.
_MIN_WEIGHT_NORM = 1e-3
_MIN_GRADIENT_NORM = 1e-6


def clip_adaptively(parameters: Iterable[nn.Parameter], factor: float) -> None:
    """Shorten, in place, every filter's gradient to at most `factor` times the norm of its weights.

    Source: Brock et al., High-Performance Large-Scale Image Recognition Without Normalization (ICML 2021),
    equation 3.
    """
    for parameter in parameters:
        if parameter.grad is None:
            continue
        limit = _filter_norm(parameter.detach()).clamp(min=_MIN_WEIGHT_NORM) * factor
        norm = _filter_norm(parameter.grad).clamp(min=_MIN_GRADIENT_NORM)
        parameter.grad.mul_((limit / norm).clamp(max=1))


def _filter_norm(x: Tensor) -> Tensor:
    """Return one norm per output unit, broadcastable to `x`; one for a whole vector."""
    if x.ndim < 2:
        return torch.linalg.vector_norm(x)
    return torch.linalg.vector_norm(x, dim=tuple(range(1, x.ndim)), keepdim=True)
