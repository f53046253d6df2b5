"""DeepLIFT with the rescale rule, all targets from one forward pass."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .gradients import input_gradients
from .model_state import ForwardHook, forward_hooks
from .network import Network
from .registry import register_explainer

# Below this difference to the reference a ReLU passes its plain gradient. Source: Captum's DeepLift.
_EPS = 1e-6


@register_explainer("deeplift", source="Shrikumar et al., ICML 2017, rescale rule", needs_relu=True)
def deep_lift(model: Network, images: Tensor, targets: Tensor) -> Tensor:
    """Return DeepLIFT contributions against the encoded zero, summed over channels, `(B, K, H, W)`.

    The maps sum to the logit minus the logit of the encoded zero, if `nn.ReLU` and `nn.MaxPool2d` modules are
    the only non-linear parts of the network. Others pass their plain gradient. The reference and the image
    each take one forward pass for all targets.
    """
    encoded = model.encode(images)
    modules = [module for module in model.modules() if isinstance(module, nn.ReLU | nn.MaxPool2d)]
    with _out_of_place(modules):
        references = _inputs_of(modules, model, torch.zeros_like(encoded[:1]))
        with forward_hooks(modules, _rescale_rule(iter(references))):
            multipliers = input_gradients(model, encoded, targets)
    return (multipliers * encoded[:, None]).sum(2)


@contextmanager
def _out_of_place(modules: Iterable[nn.Module]) -> Iterator[None]:
    """Keep ReLUs from overwriting the inputs that the rule needs."""
    in_place = [module for module in modules if getattr(module, "inplace", False)]
    try:
        for module in in_place:
            module.__dict__["inplace"] = False
        yield
    finally:
        for module in in_place:
            module.__dict__["inplace"] = True


def _inputs_of(modules: Iterable[nn.Module], model: Network, encoded: Tensor) -> list[Tensor]:
    """Return the modules' inputs in the order in which they run; a module may run several times."""
    inputs: list[Tensor] = []

    def record(_module: nn.Module, args: tuple[Tensor, ...], _output: Tensor) -> None:
        inputs.append(args[0])

    with torch.no_grad(), forward_hooks(modules, record):
        model(encoded)
    return inputs


def _rescale_rule(references: Iterator[Tensor]) -> ForwardHook:
    def replace(module: nn.Module, args: tuple[Tensor, ...], output: Tensor) -> Tensor:
        x, reference = args[0], next(references)
        if isinstance(module, nn.MaxPool2d):
            surrogate = _linear_max_pool(module, x, reference)
        else:
            surrogate = _relu_slope(x.detach(), reference) * x
        # The value of the non-linearity with the gradient of its linear surrogate.
        return output.detach() + (surrogate - surrogate.detach())

    return replace


def _relu_slope(x: Tensor, reference: Tensor) -> Tensor:
    """Return the slope of the ReLU's chord between reference and input."""
    difference = x - reference
    flat = difference.abs() < _EPS
    chord = (x.relu() - reference.relu()) / difference.masked_fill(flat, 1)
    return torch.where(flat, (x > 0).to(x), chord)


def _linear_max_pool(module: nn.MaxPool2d, x: Tensor, reference: Tensor) -> Tensor:
    """Return a function linear in `x` that changes between reference and input as max pooling does.

    What the larger of both maxima exceeds the reference's by goes to the input's largest pixel, what the
    input's falls short of it to the reference's. A pixel that equals its reference gets nothing.

    Source: Captum's DeepLift, where overlapping windows overwrite each other; here they add up, which keeps
    the sum complete.
    """
    with torch.no_grad():
        top, at = _max_pool(module, x)
        reference_top, reference_at = _max_pool(module, reference)
        highest = torch.maximum(top, reference_top)
        difference = x - reference
        flat = difference.abs() < _EPS
        inverse = torch.where(flat, 0, 1 / difference.masked_fill(flat, 1))
    relative = (x * inverse).flatten(2)
    gain = relative.gather(2, at.flatten(2)).view_as(top) * (highest - reference_top)
    loss = relative.gather(2, reference_at.expand_as(at).flatten(2)).view_as(top) * (top - highest)
    return gain + loss


def _max_pool(module: nn.MaxPool2d, x: Tensor) -> tuple[Tensor, Tensor]:
    top, at = F.max_pool2d(
        x,
        module.kernel_size,
        module.stride,
        module.padding,
        module.dilation,
        ceil_mode=module.ceil_mode,
        return_indices=True,
    )
    return top, at
