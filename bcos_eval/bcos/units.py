"""What hidden units of a B-cos network respond to: the linear summary of one channel of a layer."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Literal

import torch
from torch import Tensor, nn

from bcos_eval.errors import InputError, unknown_name

from .explanation_mode import explanation_mode

# Dotted name of a module, and a channel of its output.
Unit = tuple[str, int]
Over = Literal["mean", "max"]


def unit_summary(model: nn.Module, encoded: Tensor, unit: Unit, *, over: Over = "mean") -> tuple[Tensor, Tensor]:
    """Return the rows of the input-dependent linear map that belong to a hidden unit, and its activations.

    `sum(row · x)` is the activation, up to rounding, for every network whose norms do not subtract a mean: up to
    the layer the network is one linear map of its input, as it is up to its logits. Transformers add the positions
    of tokens, whose part of the activation is in no pixel.

    Args:
        model: A B-cos network.
        encoded: Network input `(B, 6, H, W)`.
        unit: Name of a layer, as `named_modules` has it, and channel of its output.
        over: Whether the activation of an image is the mean over positions, or the largest.

    Returns:
        Rows `(B, 6, H, W)` and activations `(B,)`.

    Raises:
        InputError: If there is no such layer or channel, or the layer gives no channels.

    Source: TPAMI 2024, equation 9, for a part of the network.
    """
    layer, channel = unit
    x = encoded.detach().requires_grad_(True)
    with torch.enable_grad(), explanation_mode(model), _output_of(model, layer) as outputs:
        model(x)
        activations = _reduced(_channel(outputs, layer, channel), over)
        (row,) = torch.autograd.grad(activations.sum(), x)
    return row, activations.detach()


@torch.no_grad()
def unit_activations(model: nn.Module, encoded: Tensor, unit: Unit, *, over: Over = "mean") -> Tensor:
    """Return the activations of `unit_summary` `(B,)` without what they are made of.

    Raises:
        InputError: As `unit_summary`.
    """
    layer, channel = unit
    with _output_of(model, layer) as outputs:
        model(encoded)
    return _reduced(_channel(outputs, layer, channel), over)


@contextmanager
def _output_of(model: nn.Module, layer: str) -> Iterator[list[object]]:
    modules = dict(model.named_modules())
    if layer not in modules or not layer:
        raise unknown_name("layer", layer, [name for name in modules if name])
    found: list[object] = []
    handle = modules[layer].register_forward_hook(lambda _module, _inputs, output: found.append(output))
    try:
        yield found
    finally:
        handle.remove()


def _channel(outputs: Sequence[object], layer: str, channel: int) -> Tensor:
    """Return what a channel says at all positions `(B, P)`, of maps `(B, C, H, W)` or tokens `(B, N, C)`."""
    output = outputs[0] if len(outputs) == 1 else None
    if not isinstance(output, Tensor) or output.ndim not in (3, 4):
        raise InputError(f"layer '{layer}' gives no map of channels for an image; name one that does.")
    channels = output.flatten(2) if output.ndim == 4 else output.mT
    n_channels = channels.shape[1]
    if not 0 <= channel < n_channels:
        raise InputError(f"layer '{layer}' has no channel {channel}; give one from 0 to {n_channels - 1}.")
    return channels[:, channel]


def _reduced(values: Tensor, over: Over) -> Tensor:
    return values.mean(1) if over == "mean" else values.amax(1)
