"""Explainers that are one gradient: plain, and times the input."""

from __future__ import annotations

from collections.abc import Iterator
from typing import cast

from torch import Tensor, nn

from bcos_eval.bcos import for_gradients, gradients_by_target
from bcos_eval.contract.explainer import Style, register_explainer
from bcos_eval.contract.maps import stack_targets
from bcos_eval.contract.network import Network


def input_gradients(model: Network, encoded: Tensor, targets: Tensor) -> Iterator[Tensor]:
    """Return the gradients of the targets' logits by the network input, from one forward pass.

    Args:
        model: Frozen, outside explanation mode.
        encoded: `(B, C, H, W)`.
        targets: `(B, K)`.

    Returns:
        Target by target, so that one at a time is in memory: K tensors `(B, C, H, W)`.
    """
    network, x = for_gradients(cast("nn.Module", model), encoded)
    return gradients_by_target(network(x), x, targets)


@register_explainer(
    "grad",
    source="Baehrens et al., JMLR 2010; signed, as in the B-cos papers",
    family="gradient",
    aliases=("gradient", "saliency", "vanilla_gradient"),
    style=Style("#56B4E9", "--"),
)
def gradient(model: Network, images: Tensor, targets: Tensor) -> Tensor:
    """Return the signed gradient of each target's logit, summed over input channels, `(B, K, H, W)`."""
    gradients = input_gradients(model, model.encode(images), targets)
    return stack_targets((by_input.sum(1) for by_input in gradients), images)


@register_explainer(
    "ixg",
    source="Shrikumar et al., arXiv:1605.01713",
    family="gradient",
    aliases=("input_x_gradient", "input_times_gradient", "gradient_x_input"),
    style=Style("#0072B2", "-"),
)
def input_times_gradient(model: Network, images: Tensor, targets: Tensor) -> Tensor:
    """Return network input times gradient, summed over channels, `(B, K, H, W)`.

    Taken outside explanation mode: on a B-cos network this differs from the linear summary.
    """
    encoded = model.encode(images)
    gradients = input_gradients(model, encoded, targets)
    return stack_targets(((encoded * by_input).sum(1) for by_input in gradients), images)
