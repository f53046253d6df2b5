"""Integrated gradients by Gauss–Legendre quadrature."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from bcos_eval.contract.explainer import Style, register_explainer
from bcos_eval.contract.network import Network
from bcos_eval.contract.params import Count
from bcos_eval.errors import InputError

from .batching import GRADIENT_BATCH_PIXELS, batches
from .gradients import input_gradients


@register_explainer(
    "intgrad",
    source="Sundararajan et al., ICML 2017; 50 steps as in the B-cos papers",
    family="gradient",
    aliases=("integrated_gradients", "ig"),
    style=Style("#56B4E9", "-"),
    expensive=True,
)
def integrated_gradients(
    model: Network,
    images: Tensor,
    targets: Tensor,
    *,
    n_steps: Count = 50,
    batch_pixels: Count = GRADIENT_BATCH_PIXELS,
) -> Tensor:
    """Return integrated gradients from the encoded zero to the image, summed over channels, `(B, K, H, W)`.

    The maps sum to the logit minus the logit of the encoded zero, up to the quadrature error. The encoded
    zero is the mean colour for a standard network; for a B-cos network it is no colour at all. The forward
    pass of a step serves all targets.

    Args:
        model: The network to explain.
        images: `(B, 3, H, W)` in [0, 1].
        targets: `(B, K)`.
        n_steps: Nodes of the quadrature.
        batch_pixels: Pixels that go through the network at once.
    """
    if n_steps < 1:
        raise InputError(f"intgrad.n_steps={n_steps} is not allowed; use 1 or more")
    encoded = model.encode(images)
    nodes, weights = gauss_legendre(n_steps)
    means = [
        _path_mean(model, end, wanted, nodes.to(end), weights.to(end), batch_pixels)
        for end, wanted in zip(encoded, targets, strict=True)
    ]
    return (torch.stack(means) * encoded[:, None]).sum(2)


def gauss_legendre(n_steps: int) -> tuple[Tensor, Tensor]:
    """Return nodes and weights `(n_steps,)`, float64, of the Gauss–Legendre rule on [0, 1]."""
    nodes, weights = np.polynomial.legendre.leggauss(n_steps)
    return torch.from_numpy((1 + nodes) / 2), torch.from_numpy(weights / 2)


def _path_mean(
    model: Network, end: Tensor, targets: Tensor, nodes: Tensor, weights: Tensor, batch_pixels: int
) -> Tensor:
    """Return the mean gradient `(K, C, H, W)` on the straight path from zero to `end` `(C, H, W)`."""
    mean = end.new_zeros(len(targets), *end.shape)
    for part in batches(len(nodes), end[0].numel(), batch_pixels):
        points = nodes[part, None, None, None] * end
        gradients = input_gradients(model, points, targets.expand(len(points), -1))
        for k, of_points in enumerate(gradients):
            mean[k] += torch.einsum("n,nchw->chw", weights[part], of_points)
    return mean
