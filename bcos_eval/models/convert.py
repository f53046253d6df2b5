"""Turn the modules of a freshly built standard CNN into their B-cos counterparts."""

from __future__ import annotations

from torch import nn

from bcos_eval.bcos import BatchNormUncentred2d, BcosConv2d

_N_BCOS_CHANNELS = 6


def convert_modules(module: nn.Module, *, b: float = 2.0) -> None:
    """Replace, in place, what a B-cos network does differently; weights are new.

    Convolution → B-cos convolution (a three-channel stem gets six), batch norm → uncentred batch norm without
    bias, ReLU → nothing, max pooling → average pooling of the same window.

    Source: TPAMI 2024, section 3.2.
    """
    for name, child in module.named_children():
        replacement = _counterpart(child, b)
        if replacement is None:
            convert_modules(child, b=b)
        else:
            setattr(module, name, replacement)


def _counterpart(module: nn.Module, b: float) -> nn.Module | None:
    if isinstance(module, nn.Conv2d):
        return _bcos_convolution(module, b)
    if isinstance(module, nn.BatchNorm2d):
        return BatchNormUncentred2d(module.num_features, eps=module.eps, momentum=module.momentum or 0.1)
    if isinstance(module, nn.ReLU):
        return nn.Identity()
    if isinstance(module, nn.MaxPool2d):
        return nn.AvgPool2d(module.kernel_size, module.stride, module.padding, module.ceil_mode)
    return None


def _bcos_convolution(conv: nn.Conv2d, b: float) -> BcosConv2d:
    return BcosConv2d(
        _N_BCOS_CHANNELS if conv.in_channels == 3 else conv.in_channels,
        conv.out_channels,
        _pair(conv.kernel_size),
        _pair(conv.stride),
        _pair(conv.padding),
        _pair(conv.dilation),
        conv.groups,
        b=b,
    )


def _pair(sides: tuple[int, ...] | str) -> tuple[int, int]:
    if isinstance(sides, str):
        raise ValueError(f"padding '{sides}' cannot be converted; give it in pixels")
    height, width = sides
    return height, width
