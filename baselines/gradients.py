"""Explainers that are one gradient: plain, and times the input."""

from __future__ import annotations

from torch import Tensor

from bcos_eval.bcos import target_gradients

from .network import Network
from .registry import register_explainer


def input_gradients(model: Network, encoded: Tensor, targets: Tensor) -> Tensor:
    """Return the gradients of the targets' logits by the network input, from one forward pass.

    Args:
        model: Frozen, outside explanation mode.
        encoded: `(B, C, H, W)`.
        targets: `(B, K)`.

    Returns:
        `(B, K, C, H, W)`.
    """
    x = encoded.detach().requires_grad_()
    return target_gradients(model(x), x, targets)


@register_explainer("grad", source="Baehrens et al., JMLR 2010; signed, as in the B-cos papers")
def gradient(model: Network, images: Tensor, targets: Tensor) -> Tensor:
    """Return the signed gradient of each target's logit, summed over input channels, `(B, K, H, W)`."""
    return input_gradients(model, model.encode(images), targets).sum(2)


@register_explainer("ixg", source="Shrikumar et al., arXiv:1605.01713")
def input_times_gradient(model: Network, images: Tensor, targets: Tensor) -> Tensor:
    """Return network input times gradient, summed over channels, `(B, K, H, W)`.

    Taken outside explanation mode: on a B-cos network this differs from the linear summary.
    """
    encoded = model.encode(images)
    return (input_gradients(model, encoded, targets) * encoded[:, None]).sum(2)
