"""The layers of a B-cos network: the B-cos transform as convolution and as linear layer, and the logit layer.

    B-cos(x; w) = |cos(x, w)|^(B-1) · ŵᵀx,   ŵ = w / ‖w‖

Source: Böhle et al., B-cos Networks (CVPR 2022), equation 3; TPAMI 2024, equations 3 and 4. The stabilising
constants are those of the official code, since they change numbers in the last digits.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .explanation_mode import DynamicLinear

# Under the square root of a patch norm, and beside a vector norm: zero patches give zero output, not NaN.
PATCH_NORM_EPS = 1e-6
VECTOR_NORM_EPS = 1e-12
# Beside |cos| where B != 2, so that the power has a finite gradient at cos = 0.
COSINE_EPS = 1e-6


class UnitNormConv2d(nn.Conv2d):
    """Convolution whose filters are scaled to unit Euclidean norm before use."""

    def forward(self, x: Tensor) -> Tensor:
        """Map `(N, C, H, W)` to `(N, O, H', W')`."""
        unit = self.weight / torch.linalg.vector_norm(self.weight, dim=(1, 2, 3), keepdim=True)
        return self._conv_forward(x, unit, None)


class UnitNormLinear(nn.Linear):
    """Linear layer whose rows are scaled to unit Euclidean norm before use."""

    def forward(self, x: Tensor) -> Tensor:
        """Map `(*, C)` to `(*, O)`."""
        unit = self.weight / torch.linalg.vector_norm(self.weight, dim=1, keepdim=True)
        return F.linear(x, unit)


class BcosConv2d(DynamicLinear):
    """B-cos convolution: a unit-norm convolution scaled by the cosine to each patch.

    The unit-norm convolution is the child `linear`, as in the official checkpoints' keys.

    Args:
        in_channels: Channels of the input.
        out_channels: Channels of the output, after MaxOut.
        kernel_size: Side of the square kernel, or both sides.
        stride: Stride.
        padding: Zeros added on each side; they count as part of the patch.
        dilation: Spacing of the kernel's taps.
        groups: Groups; the patch norm is taken within a group.
        b: Exponent B ≥ 1; 1 is a plain unit-norm convolution.
        max_out: Candidates per output channel of which the largest is kept.

    Raises:
        ValueError: If `b` < 1 or `max_out` < 1.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int | tuple[int, int],
        stride: int | tuple[int, int] = 1,
        padding: int | tuple[int, int] = 0,
        dilation: int | tuple[int, int] = 1,
        groups: int = 1,
        *,
        b: float = 2.0,
        max_out: int = 1,
    ) -> None:
        super().__init__()
        _check_exponent(b, max_out)
        self.b = b
        self.max_out = max_out
        self.linear = UnitNormConv2d(
            in_channels, out_channels * max_out, kernel_size, stride, padding, dilation, groups, bias=False
        )

    def forward(self, x: Tensor) -> Tensor:
        """Map `(N, C, H, W)` to `(N, O, H', W')`."""
        out = self.linear(x)
        if self.max_out > 1:
            out = out.unflatten(1, (-1, self.max_out)).amax(2)
        if self.b == 1:
            return out
        norm = self.patch_norms(x.detach() if self.explaining else x)
        if self.linear.groups > 1:
            norm = norm.repeat_interleave(out.shape[1] // self.linear.groups, dim=1)
        return _scale_by_cosine(out, norm, self.b, explaining=self.explaining)

    def patch_norms(self, x: Tensor) -> Tensor:
        """Return the Euclidean norm of every patch, per group: `(N, groups, H', W')`."""
        conv = self.linear
        squares = x.square()
        if conv.groups == 1:
            squares = squares.sum(1, keepdim=True)
        else:
            squares = squares.unflatten(1, (conv.groups, -1)).sum(2)
        if conv.kernel_size != (1, 1) or conv.stride != (1, 1) or conv.padding != (0, 0):
            ones = squares.new_ones(conv.groups, 1, *conv.kernel_size)
            squares = F.conv2d(squares, ones, None, conv.stride, conv.padding, conv.dilation, conv.groups)
        return (squares + PATCH_NORM_EPS).sqrt()

    def extra_repr(self) -> str:
        """Show the exponent and MaxOut beside the child's own parameters."""
        return f"b={self.b:g}, max_out={self.max_out}"


class BcosLinear(DynamicLinear):
    """B-cos linear layer on the last dimension; arguments as for `BcosConv2d`.

    Raises:
        ValueError: If `b` < 1 or `max_out` < 1.
    """

    def __init__(self, in_features: int, out_features: int, *, b: float = 2.0, max_out: int = 1) -> None:
        super().__init__()
        _check_exponent(b, max_out)
        self.b = b
        self.max_out = max_out
        self.linear = UnitNormLinear(in_features, out_features * max_out, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """Map `(*, C)` to `(*, O)`."""
        out = self.linear(x)
        if self.max_out > 1:
            out = out.unflatten(-1, (-1, self.max_out)).amax(-1)
        if self.b == 1:
            return out
        fixed = x.detach() if self.explaining else x
        norm = torch.linalg.vector_norm(fixed, dim=-1, keepdim=True) + VECTOR_NORM_EPS
        return _scale_by_cosine(out, norm, self.b, explaining=self.explaining)

    def extra_repr(self) -> str:
        """Show the exponent and MaxOut beside the child's own parameters."""
        return f"b={self.b:g}, max_out={self.max_out}"


def default_logit_bias(num_classes: int) -> float:
    """Return −ln(C − 1): with no evidence at all, every class starts at probability 1/C.

    Source: official B-cos v2 configuration; TPAMI 2024, section 3.2.3.
    """
    return -math.log(num_classes - 1)


class LogitLayer(nn.Module):
    """Divide by the temperature T, then add the bias b: `y = z / T + b`.

    Args:
        bias: Added to every logit.
        temperature: Positive divisor.

    Raises:
        ValueError: If the temperature is not positive.
    """

    def __init__(self, bias: float = 0.0, temperature: float = 1.0) -> None:
        super().__init__()
        if temperature <= 0:
            raise ValueError(f"the logit temperature must be positive, got {temperature}")
        self.bias = bias
        self.temperature = temperature

    def forward(self, logits: Tensor) -> Tensor:
        """Return scaled and shifted logits of the same shape."""
        return logits / self.temperature + self.bias

    def extra_repr(self) -> str:
        """Show both numbers."""
        return f"bias={self.bias:.4f}, temperature={self.temperature:g}"


def _check_exponent(b: float, max_out: int) -> None:
    if b < 1:
        raise ValueError(f"the B-cos exponent b must be at least 1, got {b}")
    if max_out < 1:
        raise ValueError(f"max_out must be at least 1, got {max_out}")


def _scale_by_cosine(out: Tensor, norm: Tensor, b: float, *, explaining: bool) -> Tensor:
    """Multiply `ŵᵀx` by `|cos|^(B-1)`, a constant for the backward pass in explanation mode."""
    fixed = out.detach() if explaining else out
    scale = fixed.abs() / norm
    if b != 2:
        scale = (scale + COSINE_EPS).pow(b - 1)
    return scale * out
