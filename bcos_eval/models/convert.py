"""Turn single modules of a standard CNN into their B-cos counterparts.

Source: TPAMI 2024, section 3.2; carrying weights over: Arya et al., B-cosification (NeurIPS 2024), section 3.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torchvision.models.convnext import LayerNorm2d
from torchvision.ops import Permute, SqueezeExcitation, StochasticDepth

from bcos_eval.bcos import (
    BatchNormUncentred2d,
    BcosConv2d,
    BcosLinear,
    DynamicLinear,
    GroupNorm2d,
    LayerNorm,
    PositionNorm2d,
)

N_BCOS_CHANNELS = 6
_N_IMAGE_CHANNELS = 3
ACTIVATIONS = (
    nn.ReLU,
    nn.ReLU6,
    nn.LeakyReLU,
    nn.ELU,
    nn.SiLU,
    nn.GELU,
    nn.Hardswish,
    nn.Mish,
    nn.Softplus,
)
NORM_TYPES = (nn.BatchNorm2d, nn.LayerNorm, nn.GroupNorm)
# Linear already, or nothing at all in evaluation mode.
_KEPT = (
    nn.Identity,
    nn.Dropout,
    nn.Dropout2d,
    nn.AvgPool2d,
    nn.AdaptiveAvgPool2d,
    nn.Flatten,
    Permute,
    StochasticDepth,
)


def convert_modules(module: nn.Module, *, b: float = 2.0) -> None:
    """Replace, in place, what a B-cos network does differently; weights are new.

    Convolution → B-cos convolution (a three-channel stem gets six), batch norm → uncentred batch norm without
    bias, activation → nothing, max pooling → average pooling of the same window.
    """
    conversion = Conversion(b=b)
    for name, child in module.named_children():
        if isinstance(child, nn.Conv2d):
            is_stem = child.in_channels == _N_IMAGE_CHANNELS
            setattr(module, name, conversion.convolution(child, is_stem=is_stem))
        elif isinstance(child, (nn.BatchNorm2d, nn.MaxPool2d, *ACTIVATIONS)):
            setattr(module, name, conversion.counterpart(child))
        else:
            convert_modules(child, b=b)


def is_convertible(module: nn.Module) -> bool:
    """Return whether a module without convertible children has a B-cos form."""
    if isinstance(module, nn.Conv2d):
        return module.padding_mode == "zeros" and not isinstance(module.padding, str)
    if isinstance(module, nn.MaxPool2d):
        return module.dilation in (1, (1, 1)) and not module.return_indices
    return isinstance(module, (nn.Linear, SqueezeExcitation, *NORM_TYPES, *ACTIVATIONS, *_KEPT))


@dataclass(frozen=True, slots=True)
class Conversion:
    """How to convert.

    Attributes:
        b: Exponent B of every B-cos transform.
        norm: Makes what replaces a batch norm, from the number of channels; None for batch norm uncentred.
        norm_after: Whether a norm is put after every convolution, for networks that have none.
        carry_over: Whether weights are copied; biases never are, and of a filter only the direction matters.
        keep_activations: Whether activations stay, as factors that depend on the input.
    """

    b: float = 2.0
    norm: Callable[[int], nn.Module] | None = None
    norm_after: bool = False
    carry_over: bool = False
    keep_activations: bool = False

    def counterpart(self, module: nn.Module) -> nn.Module:
        """Return what replaces a convertible module; the module itself if it may stay."""
        if isinstance(module, nn.Conv2d):
            return self.convolution(module)
        if isinstance(module, nn.Linear):
            return self.linear(module)
        if isinstance(module, NORM_TYPES):
            return self.normalisation(module)
        if isinstance(module, ACTIVATIONS):
            return self.activation(module)
        if isinstance(module, nn.MaxPool2d):
            return nn.AvgPool2d(module.kernel_size, module.stride, module.padding, module.ceil_mode)
        return ChannelGate(module) if isinstance(module, SqueezeExcitation) else module

    def activation(self, module: nn.Module) -> nn.Module:
        """Return what replaces an activation: nothing, or the same as a factor, constant in explanation mode.

        A rectifier's gradient is that factor already; ReLU6 loses its upper bound, which is none.
        """
        if not self.keep_activations:
            return nn.Identity()
        return nn.ReLU() if isinstance(module, nn.ReLU | nn.ReLU6) else Gate(module)

    def convolution(self, conv: nn.Conv2d, *, is_stem: bool = False) -> BcosConv2d:
        """Return the B-cos convolution of the same shape; a stem takes the six channels `[x, 1 − x]`."""
        converted = BcosConv2d(
            N_BCOS_CHANNELS if is_stem else conv.in_channels,
            conv.out_channels,
            _pair(conv.kernel_size),
            _pair(conv.stride),
            _pair(conv.padding),
            _pair(conv.dilation),
            conv.groups,
            b=self.b,
        )
        if self.carry_over:
            # w·x = ½ w·x − ½ w·(1 − x) + constant.
            weight = torch.cat([conv.weight / 2, -conv.weight / 2], 1) if is_stem else conv.weight
            _copy_directions(converted.linear.weight, weight)
        return converted

    def linear(self, layer: nn.Linear) -> BcosLinear:
        """Return the B-cos layer of the same shape, on the last dimension."""
        converted = BcosLinear(layer.in_features, layer.out_features, b=self.b)
        if self.carry_over:
            _copy_directions(converted.linear.weight, layer.weight)
        return converted

    def positionwise(self, layer: nn.Linear, side: int = 1) -> BcosConv2d:
        """Return a linear layer on `side × side` flattened positions as a B-cos convolution around each."""
        n_channels = layer.in_features // side**2
        converted = BcosConv2d(n_channels, layer.out_features, side, padding=side // 2, b=self.b)
        if self.carry_over:
            _copy_directions(
                converted.linear.weight, layer.weight.view(layer.out_features, n_channels, side, side)
            )
        return converted

    def normalisation(self, norm: nn.BatchNorm2d | nn.LayerNorm | nn.GroupNorm) -> nn.Module:
        """Return the norm without bias that can be explained."""
        converted: nn.Module
        if isinstance(norm, LayerNorm2d):
            return self.position_norm(norm)
        if isinstance(norm, nn.LayerNorm):
            converted = LayerNorm(norm.normalized_shape[-1], eps=norm.eps)
        elif isinstance(norm, nn.GroupNorm):
            converted = GroupNorm2d(norm.num_groups, norm.num_channels, eps=norm.eps)
        else:
            converted = self.batch_norm(norm)
        if self.carry_over:
            _copy_matching(converted, norm)
        return converted

    def batch_norm(self, norm: nn.BatchNorm2d) -> nn.Module:
        """Return what the conversion puts in place of a batch norm, with new scales and statistics."""
        if self.norm is not None:
            return self.norm(norm.num_features)
        return BatchNormUncentred2d(norm.num_features, eps=norm.eps, momentum=norm.momentum or 0.1)

    def position_norm(self, norm: nn.LayerNorm) -> PositionNorm2d:
        """Return a norm of vectors as the norm of every position of a map."""
        converted = PositionNorm2d(norm.normalized_shape[-1], eps=norm.eps)
        if self.carry_over:
            _copy_matching(converted, norm)
        return converted


class Gate(DynamicLinear):
    """A smooth activation as a factor of its input, `f(x) = x · g(x)`; in explanation mode g is a constant.

    Args:
        activation: Element-wise, 0 at 0: SiLU, GELU, Hardswish, …
    """

    def __init__(self, activation: nn.Module) -> None:
        super().__init__()
        self.activation = copy.deepcopy(activation)
        if hasattr(self.activation, "inplace"):
            setattr(self.activation, "inplace", False)  # noqa: B010 - not every module has it

    def forward(self, x: Tensor) -> Tensor:
        """Apply the activation to a tensor of any shape."""
        if not self.explaining:
            return self.activation(x)
        fixed = x.detach()
        factor = torch.where(fixed == 0, 0, self.activation(fixed) / fixed)
        return x * factor


class ChannelGate(DynamicLinear):
    """Squeeze-and-excitation: channels scaled by factors that depend on the input.

    The factors are part of the dynamic weights: they keep their own activations and biases, and are constants in
    explanation mode.
    """

    def __init__(self, gate: SqueezeExcitation) -> None:
        super().__init__()
        self.factors = nn.Sequential(gate.avgpool, gate.fc1, gate.activation, gate.fc2, gate.scale_activation)

    def forward(self, x: Tensor) -> Tensor:
        """Scale `(N, C, H, W)`."""
        factors = self.factors(x)
        return x * (factors.detach() if self.explaining else factors)


def _copy_directions(target: Tensor, source: Tensor) -> None:
    """Copy filters; those of zeros, which trained networks have, keep the direction that was drawn for them."""
    has_direction = source.flatten(1).any(1).view(-1, *[1] * (source.dim() - 1))
    with torch.no_grad():
        target.copy_(torch.where(has_direction, source, target))


def _copy(target: Tensor, source: Tensor) -> None:
    with torch.no_grad():
        target.copy_(source)


def _copy_matching(converted: nn.Module, norm: nn.Module) -> None:
    """Copy scales and statistics that both norms have in the same shape."""
    given = norm.state_dict()
    for key, value in converted.state_dict().items():
        if key in given and given[key].shape == value.shape:
            _copy(value, given[key])


def _pair(sides: tuple[int, ...] | str) -> tuple[int, int]:
    if isinstance(sides, str):
        raise ValueError(f"padding '{sides}' cannot be converted; give it in pixels")
    height, width = sides
    return height, width
