"""Random weights that behave like trained ones, as far as timing and rounding go."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from bcos_eval.bcos import UnitNormConv2d, UnitNormLinear

# Height of the pattern in standard deviations of the weights, times the fourth root of a filter's length.
_ALIGNMENT = 1.25


def condition(network: nn.Module, encoded: Tensor) -> None:
    """Give a network with random weights filters and statistics that keep its signal in range, in place.

    Random filters are almost orthogonal to their input: the signal of a deep B-cos network fades into the smallest
    floating point numbers, which are slow, and rounding errors grow from layer to layer. Training aligns filters
    with their input; here a pattern common to all of them does.

    Args:
        network: Frozen network with fresh weights.
        encoded: Some network input for the statistics, `(B, C, H, W)`.
    """
    for module in network.modules():
        if isinstance(module, UnitNormConv2d | UnitNormLinear):
            _align(module.weight)
    calibrate(network, encoded)


def calibrate(network: nn.Module, encoded: Tensor) -> None:
    """Set all batch norms' statistics to those of some network input, in one pass."""
    norms = [module for module in network.modules() if isinstance(module, _BatchNorm)]
    with _momentum_one(norms), torch.no_grad():
        network(encoded)


@torch.no_grad()
def _align(weight: Tensor) -> None:
    """Add a checkerboard over output and input channels to filters `(O, I, ...)`."""
    rows, columns = (torch.arange(n, device=weight.device) for n in weight.shape[:2])
    signs = 1.0 - 2.0 * ((rows[:, None] + columns) % 2)
    height = _ALIGNMENT * weight.std() * weight[0].numel() ** -0.25
    weight += height * signs.view(*weight.shape[:2], *[1] * (weight.ndim - 2))


@contextmanager
def _momentum_one(norms: Sequence[_BatchNorm]) -> Iterator[None]:
    before = [norm.momentum for norm in norms]
    try:
        for norm in norms:
            norm.train()
            norm.momentum = 1.0
        yield
    finally:
        for norm, momentum in zip(norms, before, strict=True):
            norm.eval()
            norm.momentum = momentum
