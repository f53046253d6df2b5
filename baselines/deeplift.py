"""DeepLIFT with the rescale rule, all targets from one forward pass."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from bcos_eval.contract.explainer import Style, register_explainer
from bcos_eval.contract.maps import stack_targets
from bcos_eval.contract.network import Network
from bcos_eval.contract.network_state import ForwardHook, forward_hooks

from .gradients import input_gradients
from .guided import RELU_MODULES

# Below this difference to the reference a ReLU passes its plain gradient. Source: Captum's DeepLift.
_EPS = 1e-6


@register_explainer(
    "deeplift",
    source="Shrikumar et al., ICML 2017, rescale rule",
    family="gradient",
    needs=(RELU_MODULES,),
    aliases=("deep_lift",),
    style=Style("#332288", "-"),
)
def deep_lift(model: Network, images: Tensor, targets: Tensor) -> Tensor:
    """Return DeepLIFT contributions against the encoded zero, summed over channels, `(B, K, H, W)`.

    `nn.ReLU` modules pass the slope of their chord between reference and image, everything else its plain
    gradient. The maps sum to the logit minus the logit of the encoded zero if nothing else is non-linear but
    max pooling over windows in which the reference is constant (such as a ResNet's stem). The reference and
    the images each take one forward pass for all targets.
    """
    encoded = model.encode(images)
    relus = [module for module in model.modules() if isinstance(module, nn.ReLU)]
    with _out_of_place(relus):
        references = _inputs_of(relus, model, torch.zeros_like(encoded[:1]))
        with forward_hooks(relus, _rescale_rule(iter(references))):
            multipliers = input_gradients(model, encoded, targets)
            return stack_targets(((encoded * by_input).sum(1) for by_input in multipliers), images)


@contextmanager
def _out_of_place(relus: Iterable[nn.ReLU]) -> Iterator[None]:
    """Keep ReLUs from overwriting the inputs that the rule needs."""
    in_place = [module for module in relus if module.inplace]
    try:
        for module in in_place:
            module.inplace = False
        yield
    finally:
        for module in in_place:
            module.inplace = True


def _inputs_of(modules: Iterable[nn.Module], model: Network, encoded: Tensor) -> list[Tensor]:
    """Return the modules' inputs in the order in which they run; a module may run several times."""
    inputs: list[Tensor] = []

    def record(_module: nn.Module, args: tuple[Tensor, ...], _output: Tensor) -> None:
        inputs.append(args[0])

    with torch.no_grad(), forward_hooks(modules, record):
        model(encoded)
    return inputs


def _rescale_rule(references: Iterator[Tensor]) -> ForwardHook:
    def replace(_module: nn.Module, args: tuple[Tensor, ...], output: Tensor) -> Tensor:
        x = args[0]
        chord = _relu_slope(x.detach(), next(references)) * x
        # The value of the ReLU with the gradient of its chord.
        return output.detach() + (chord - chord.detach())

    return replace


def _relu_slope(x: Tensor, reference: Tensor) -> Tensor:
    """Return the slope of the ReLU's chord between reference and input."""
    difference = x - reference
    flat = difference.abs() < _EPS
    chord = (x.relu() - reference.relu()) / difference.masked_fill(flat, 1)
    return torch.where(flat, (x > 0).to(x), chord)
