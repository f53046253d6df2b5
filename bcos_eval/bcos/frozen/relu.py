"""Layers of frozen ReLU networks: the forward pass is the network's own to the last bit, the backward pass cheap.

A gradient jumps where a ReLU opens or a maximum changes its place. Another order of summation would move some
of the millions of units that are almost zero across, and maps differ by thousandths of their largest value: so
layouts and weights may change in the backward pass alone, which is linear.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

from .convolution import Filters


class ExactConv2d(nn.Module):
    """A convolution, then a batch norm or nothing; the gradient is one convolution.

    Args:
        conv: Convolution.
        norm: Batch norm with running statistics.
    """

    def __init__(self, conv: nn.Conv2d, norm: nn.BatchNorm2d | None) -> None:
        super().__init__()
        self.conv = conv
        self.norm = norm
        weight = conv.weight.detach()
        if norm is not None:
            weight = weight * batch_norm_scale(norm)[:, None, None, None]
        self.filters = Filters(weight, conv)

    def forward(self, x: Tensor) -> Tensor:
        """Map `(N, C, H, W)` to `(N, O, H', W')`."""
        out: Tensor = _ExactConvolution.apply(x, self)
        return out


class ExactBatchNorm2d(nn.Module):
    """A batch norm with running statistics; the gradient is one product."""

    def __init__(self, norm: nn.BatchNorm2d) -> None:
        super().__init__()
        self.norm = norm
        self.register_buffer("scale", batch_norm_scale(norm)[:, None, None])

    def forward(self, x: Tensor) -> Tensor:
        """Map `(N, C, H, W)` to the same shape."""
        out: Tensor = _ExactBatchNorm.apply(x, self)
        return out


class ExactReLU(nn.Module):
    """A ReLU that keeps its output channels-last."""

    def forward(self, x: Tensor) -> Tensor:
        """Map `(N, C, H, W)` to the same shape; other shapes are taken as they are."""
        if x.ndim != 4:
            return F.relu(x)
        out: Tensor = _ExactReLU.apply(x)
        return out


class ExactMaxPool2d(nn.Module):
    """A max pooling that keeps the places of the maxima channels-last.

    Args:
        pool: Where the sizes come from.
    """

    def __init__(self, pool: nn.MaxPool2d) -> None:
        super().__init__()
        self.sizes = (pool.kernel_size, pool.stride, pool.padding, pool.dilation, pool.ceil_mode)

    def forward(self, x: Tensor) -> Tensor:
        """Map `(N, C, H, W)` to `(N, C, H', W')`."""
        out: Tensor = _ExactMaxPool.apply(x, self.sizes)
        return out


def batch_norm_scale(norm: nn.BatchNorm2d) -> Tensor:
    """Return by what a batch norm with running statistics multiplies each channel, `(C,)`.

    Raises:
        ValueError: If it has no running statistics.
    """
    if norm.running_var is None:
        raise ValueError("a batch norm without running statistics has no constant scale")
    scale = 1 / torch.sqrt(norm.running_var + norm.eps)
    return scale if norm.weight is None else norm.weight.detach() * scale


class _ExactConvolution(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, layer: ExactConv2d) -> Tensor:  # noqa: ANN401 - as torch's
        ctx.filters, ctx.size = layer.filters, x.shape
        out: Tensor = layer.conv(x)
        return out if layer.norm is None else layer.norm(out)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:  # noqa: ANN401 - as torch's
        return ctx.filters.input_gradient(_channels_last(gradient), ctx.size), None


class _ExactBatchNorm(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, layer: ExactBatchNorm2d) -> Tensor:  # noqa: ANN401 - as torch's
        ctx.scale = layer.scale
        out: Tensor = layer.norm(x)
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:  # noqa: ANN401 - as torch's
        return gradient * ctx.scale, None


class _ExactReLU(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:  # noqa: ANN401 - as torch's
        out = F.relu(x)
        ctx.save_for_backward(_channels_last(out))
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> Tensor:  # noqa: ANN401 - as torch's
        (out,) = ctx.saved_tensors
        by_input: Tensor = torch.ops.aten.threshold_backward(_channels_last(gradient), out, 0)
        return by_input


class _ExactMaxPool(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, sizes: tuple[Any, ...]) -> Tensor:  # noqa: ANN401 - as torch's
        out, places = F.max_pool2d_with_indices(x, *sizes)
        ctx.size, ctx.sizes = x.shape, sizes
        ctx.save_for_backward(_channels_last(places))
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:  # noqa: ANN401 - as torch's
        (places,) = ctx.saved_tensors
        gradient = _channels_last(gradient)
        # Never written to, but its layout is that of the result.
        like = torch.empty(ctx.size, dtype=gradient.dtype, memory_format=torch.channels_last)
        sides = [_pair(entry) for entry in ctx.sizes[:-1]]
        by_input = torch.ops.aten.max_pool2d_with_indices_backward(gradient, like, *sides, ctx.sizes[-1], places)
        return by_input, None


def _channels_last(x: Tensor) -> Tensor:
    return x.contiguous(memory_format=torch.channels_last)


def _pair(sides: int | tuple[int, int]) -> tuple[int, int]:
    return (sides, sides) if isinstance(sides, int) else sides
