"""Constant filters, whose forward pass and input gradient are as cheap as they can be on a CPU."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

# Up to so many input channels the gradient of a strided convolution is computed as a sub-pixel convolution: the
# gradient of a ResNet's stem in 60 % of the time.
_FEW_CHANNELS = 8


class Filters(nn.Module):
    """Constant filters with the sizes of a convolution, ready for both directions, channels-last.

    Args:
        weight: `(O, C / groups, h, w)`.
        conv: Where stride, padding (with zeros), dilation and groups come from.
    """

    weight: Tensor
    reverse: Tensor | None

    def __init__(self, weight: Tensor, conv: nn.Conv2d) -> None:
        super().__init__()
        if isinstance(conv.padding, str):
            raise ValueError(f"padding '{conv.padding}' cannot be frozen; give it in pixels")
        self.stride, self.padding, self.dilation = _pair(conv.stride), _pair(conv.padding), _pair(conv.dilation)
        self.groups = conv.groups
        self.side = _pair(conv.kernel_size)
        self.register_buffer("weight", weight.contiguous(memory_format=torch.channels_last))
        self.register_buffer("reverse", self._reversed())

    def forward(self, x: Tensor) -> Tensor:
        """Convolve `(N, C, H, W)`."""
        return _convolve(x, self.weight, self.stride, self.padding, self.dilation, self.groups)

    def input_gradient(self, gradient: Tensor, size: torch.Size) -> Tensor:
        """Return the gradient by an input of shape `size` from the gradient by the output."""
        if self.reverse is None:
            return self.transpose(gradient, self.weight, size)
        if self.stride == (1, 1):
            return _convolve(gradient, self.reverse, (1, 1), self._margin(), self.dilation, self.groups)
        return sub_pixel_gradient(gradient, self.reverse, self.stride[0], self.padding[0], self.side[0], size)

    def transpose(self, gradient: Tensor, weight: Tensor, size: torch.Size) -> Tensor:
        """Return what `input_gradient` does, for any filters of the same sizes."""
        # Never written to, but its layout is that of the result.
        like = torch.empty(size, dtype=gradient.dtype, memory_format=torch.channels_last)
        by_input: Tensor = torch.ops.aten.convolution_backward(
            gradient,
            like,
            weight,
            None,
            self.stride,
            self.padding,
            self.dilation,
            False,
            (0, 0),
            self.groups,
            (True, False, False),
        )[0]
        return by_input

    @property
    def is_pointwise(self) -> bool:
        """Whether every output pixel sees one input pixel, and every input pixel is seen."""
        return (self.side, self.stride, self.padding) == ((1, 1), (1, 1), (0, 0))

    def _reversed(self) -> Tensor | None:
        """Return the filters of the input gradient where it is a convolution."""
        if self.stride == (1, 1):
            return _turned(self.weight, self.groups) if min(self._margin()) >= 0 else None
        square = all(pair[0] == pair[1] for pair in (self.stride, self.padding, self.side))
        if square and self.dilation == (1, 1) and self.groups == 1 and self.weight.shape[1] <= _FEW_CHANNELS:
            return sub_pixel_filters(self.weight, self.stride[0], self.padding[0])
        return None

    def _margin(self) -> tuple[int, int]:
        """Return the padding of the input gradient's convolution."""
        rows, columns = (d * (k - 1) - p for d, k, p in zip(self.dilation, self.side, self.padding, strict=True))
        return rows, columns


def _convolve(
    x: Tensor,
    weight: Tensor,
    stride: Sequence[int],
    padding: Sequence[int],
    dilation: Sequence[int],
    groups: int,
) -> Tensor:
    # On one thread, conv2d takes another library than oneDNN for 1×1 filters, of half its speed.
    if x.dtype == torch.float32 and x.device.type == "cpu" and torch.backends.mkldnn.is_available():
        return torch.mkldnn_convolution(x, weight, None, padding, stride, dilation, groups)
    return F.conv2d(x, weight, None, stride, padding, dilation, groups)


def _turned(weight: Tensor, groups: int) -> Tensor:
    """Return the filters of the input gradient at stride 1: in and out exchanged, taps reversed."""
    grouped = weight.unflatten(0, (groups, -1)).transpose(1, 2)  # (groups, C / groups, O / groups, h, w)
    return grouped.flatten(0, 1).flip(2, 3).contiguous(memory_format=torch.channels_last)


def sub_pixel_filters(weight: Tensor, stride: int, padding: int) -> Tensor:
    """Return filters `(C·stride², O, n, n)` that give the input gradient of a strided convolution phase by phase.

    Pixel `stride·q + r` of the input meets the taps `stride·u + r + padding` at the positions `q − u`.

    Source: Shi et al., Real-Time Single Image and Video Super-Resolution (CVPR 2016), section 3.2.
    """
    n_out, channels, side, _ = weight.shape
    first, last = _tap_range(stride, padding, side)
    n_taps = last - first + 1
    padded = weight.new_zeros(n_out, channels, *[stride * n_taps] * 2)
    start = -(stride * first + padding)  # where tap 0 lies among the phases' taps
    padded[:, :, start : start + side, start : start + side] = weight
    phases = padded.unflatten(3, (n_taps, stride)).unflatten(2, (n_taps, stride))  # (O, C, n, stride, n, stride)
    turned_phases = phases.flip(2, 4).permute(1, 3, 5, 0, 2, 4)
    return turned_phases.flatten(0, 2).contiguous(memory_format=torch.channels_last)


def sub_pixel_gradient(
    gradient: Tensor, filters: Tensor, stride: int, padding: int, side: int, size: torch.Size
) -> Tensor:
    """Return the input gradient, of shape `size`, of a strided convolution by its sub-pixel filters."""
    _, last = _tap_range(stride, padding, side)
    n_taps = filters.shape[-1]
    rows, columns = (-(-length // stride) for length in size[-2:])
    missing = max(rows - gradient.shape[-2], columns - gradient.shape[-1]) - 1 + n_taps - last
    margin = max(last, missing, 0)
    phases = _convolve(gradient, filters, (1, 1), (margin, margin), (1, 1), 1)
    offset = margin - last
    phases = phases[:, :, offset : offset + rows, offset : offset + columns]
    return F.pixel_shuffle(phases, stride)[:, :, : size[-2], : size[-1]]


def _tap_range(stride: int, padding: int, side: int) -> tuple[int, int]:
    """Return the first and last `u` for which some phase has a tap."""
    return -((stride - 1 + padding) // stride), (side - 1 - padding) // stride


def _pair(sides: Sequence[int]) -> tuple[int, int]:
    height, width = sides
    return height, width
