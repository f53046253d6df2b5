"""The B-cos convolution of frozen networks: constants absorbed, gradients written out."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from bcos_eval.bcos.explanation_mode import DynamicLinear
from bcos_eval.bcos.transform import BcosConv2d

from .convolution import Filters


class FrozenBcosConv2d(DynamicLinear):
    """A B-cos convolution with B = 2 and no MaxOut, with constant unit-norm filters and scales absorbed.

    `|cos|·ŵᵀx` is quadratic in the filter's length: a filter of length `√|s|`, turned around where s is
    negative, gives the output times `s`, exactly.

    Args:
        layer: Where sizes and weights come from.
        scale: Factor of every output channel, `(O,)`, or None for ones.
        input_scale: Factor of every input channel, `(C,)`, or None for ones; part of the patch norm.
    """

    input_scale: Tensor | None

    def __init__(self, layer: BcosConv2d, scale: Tensor | None, input_scale: Tensor | None) -> None:
        super().__init__()
        weight = layer.linear.weight.detach()
        weight = weight / torch.linalg.vector_norm(weight, dim=(1, 2, 3), keepdim=True)
        if scale is not None:
            weight = weight * (scale.sign() * scale.abs().sqrt())[:, None, None, None]
        if input_scale is not None:
            groups = layer.linear.groups
            by_group = input_scale.view(groups, -1)
            of_filters = by_group.repeat_interleave(len(weight) // groups, dim=0)  # (O, C / groups)
            weight = weight * of_filters[:, :, None, None]
            input_scale = input_scale[:, None, None]
        self.filters = Filters(weight, layer.linear)
        self.register_buffer("input_scale", input_scale)
        # Of which only the sizes matter.
        self.layer = layer

    def forward(self, x: Tensor) -> Tensor:
        """Map `(N, C, H, W)` to `(N, O, H', W')`."""
        function = _ExplainedBcos if self.explaining else _Bcos
        out: Tensor = function.apply(x, self)
        return out

    def patch_norms(self, x: Tensor) -> Tensor:
        """Return the norm of every patch, per group: `(N, groups, H', W')`."""
        return self.layer.patch_norms(x if self.input_scale is None else x * self.input_scale)

    def per_output_channel(self, values: Tensor) -> Tensor:
        """Repeat `(N, groups, H', W')` so that it fits the output; one group needs no repetition."""
        groups = self.filters.groups
        return values if groups == 1 else values.repeat_interleave(len(self.filters.weight) // groups, dim=1)

    def norm_gradient(self, x: Tensor, gradient: Tensor) -> Tensor:
        """Return the gradient by `x` of half the squared patch norms, weighted by `(N, groups, H', W')`."""
        filters = self.filters
        spread = gradient
        if not filters.is_pointwise:
            ones = x.new_ones(filters.groups, 1, *filters.side)
            size = torch.Size((len(x), filters.groups, *x.shape[-2:]))
            spread = filters.transpose(gradient, ones, size)
        if filters.groups > 1:
            spread = spread.repeat_interleave(x.shape[1] // filters.groups, dim=1)
        weighted = x * spread
        return weighted if self.input_scale is None else weighted.mul_(self.input_scale.square())


class _ExplainedBcos(torch.autograd.Function):
    """Explanation mode: `|cos|` is a constant."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, layer: FrozenBcosConv2d) -> Tensor:  # noqa: ANN401 - as torch's
        out = layer.filters(x)
        factor = out.abs().div_(layer.per_output_channel(layer.patch_norms(x)))
        ctx.filters, ctx.size = layer.filters, x.shape
        ctx.save_for_backward(factor)
        return out.mul_(factor)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:  # noqa: ANN401 - as torch's
        (factor,) = ctx.saved_tensors
        return ctx.filters.input_gradient(factor * gradient, ctx.size), None


class _Bcos(torch.autograd.Function):
    """The whole gradient: of `y = l·|l| / n`, `2·|l| / n` by the convolution l and `−y / n` by the norm n."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, layer: FrozenBcosConv2d) -> Tensor:  # noqa: ANN401 - as torch's
        out = layer.filters(x)
        norms = layer.patch_norms(x)
        factor = out.abs().div_(layer.per_output_channel(norms))
        out.mul_(factor)
        ctx.layer = layer
        ctx.save_for_backward(x, out, factor.mul_(2), norms.square())
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:  # noqa: ANN401 - as torch's
        x, out, factor, squared_norms = ctx.saved_tensors
        layer: FrozenBcosConv2d = ctx.layer
        weighted = (out * gradient).unflatten(1, (layer.filters.groups, -1)).sum(2)  # (N, groups, H', W')
        by_norms = layer.norm_gradient(x, weighted / squared_norms)
        return layer.filters.input_gradient(factor * gradient, x.shape).sub_(by_norms), None
