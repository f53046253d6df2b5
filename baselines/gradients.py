"""Explainers made of gradients: plain, times the input, integrated, of noisy images."""

from __future__ import annotations

from collections.abc import Iterator
from typing import cast

import numpy as np
import torch
from torch import Tensor, nn

from bcos_eval.bcos import for_gradients, gradients_by_target
from bcos_eval.contract.explainer import INPUT_GRADIENTS, Style, register_explainer
from bcos_eval.contract.maps import stack_targets
from bcos_eval.contract.network import Network, name_of
from bcos_eval.contract.params import Count, NonNegative, PassSize
from bcos_eval.errors import IncompatibleError
from bcos_eval.seeding import derived_generator, image_key

from .batching import GRADIENT_BATCH_PIXELS, batches


def input_gradients(model: Network, encoded: Tensor, targets: Tensor) -> Iterator[Tensor]:
    """Return the gradients of the targets' logits by the network input, from one forward pass.

    Args:
        model: Frozen, outside explanation mode.
        encoded: `(B, C, H, W)`.
        targets: `(B, K)`.

    Returns:
        Target by target, so that one at a time is in memory: K tensors `(B, C, H, W)`.

    Raises:
        IncompatibleError: If a compiled network allows one backward pass only.
    """
    network, x = for_gradients(cast("nn.Module", model), encoded)
    return _of_compiled_refused(gradients_by_target(network(x), x, targets), model)


def _of_compiled_refused(gradients: Iterator[Tensor], model: Network) -> Iterator[Tensor]:
    try:
        yield from gradients
    except RuntimeError as error:
        if "donated buffers" not in str(error):
            raise
        raise IncompatibleError(
            f"'{name_of(model)}' is compiled and allows one backward pass only; give the network as it was before"
        ) from error


@register_explainer(
    "grad",
    source="Baehrens et al., JMLR 2010; signed, as in the B-cos papers",
    family="gradient",
    needs=(INPUT_GRADIENTS,),
    aliases=("gradient", "saliency", "vanilla_gradient"),
    style=Style("#56B4E9", "--"),
    shares_passes=True,
)
def gradient(model: Network, images: Tensor, targets: Tensor) -> Tensor:
    """Return the signed gradient of each target's logit, summed over input channels, `(B, K, H, W)`."""
    gradients = input_gradients(model, model.encode(images), targets)
    return stack_targets((by_input.sum(1) for by_input in gradients), images)


@register_explainer(
    "grad_absolute",
    source="Simonyan et al., ICLR workshop 2014; absolute, as in Rao et al. 2022",
    family="gradient",
    needs=(INPUT_GRADIENTS,),
    aliases=("grad/absolute",),
    style=Style("#56B4E9", "-."),
    shares_passes=True,
)
def absolute_gradient(model: Network, images: Tensor, targets: Tensor) -> Tensor:
    """Return the absolute gradient of each target's logit, summed over input channels, `(B, K, H, W)`."""
    gradients = input_gradients(model, model.encode(images), targets)
    return stack_targets((by_input.abs().sum(1) for by_input in gradients), images)


@register_explainer(
    "ixg",
    source="Shrikumar et al., arXiv:1605.01713",
    family="gradient",
    needs=(INPUT_GRADIENTS,),
    aliases=("input_x_gradient", "input_times_gradient", "gradient_x_input"),
    style=Style("#0072B2", "-"),
    shares_passes=True,
)
def input_times_gradient(model: Network, images: Tensor, targets: Tensor) -> Tensor:
    """Return network input times gradient, summed over channels, `(B, K, H, W)`.

    Taken outside explanation mode: on a B-cos network this differs from the linear summary.
    """
    encoded = model.encode(images)
    gradients = input_gradients(model, encoded, targets)
    return stack_targets(((encoded * by_input).sum(1) for by_input in gradients), images)


@register_explainer(
    "intgrad",
    source="Sundararajan et al., ICML 2017; 50 steps as in the B-cos papers",
    family="gradient",
    needs=(INPUT_GRADIENTS,),
    aliases=("integrated_gradients", "ig"),
    style=Style("#56B4E9", "-"),
    expensive=True,
    passes_grow_with="n_steps",
)
def integrated_gradients(
    model: Network,
    images: Tensor,
    targets: Tensor,
    *,
    n_steps: Count = 50,
    batch_pixels: PassSize = GRADIENT_BATCH_PIXELS,
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
        batch_pixels: Pixels that go through the network at once on a CPU; on CUDA, for every 4 GiB of the card.
    """
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
    for part in batches(len(nodes), end, batch_pixels):
        points = nodes[part, None, None, None] * end
        gradients = input_gradients(model, points, targets.expand(len(points), -1))
        for k, of_points in enumerate(gradients):
            mean[k] += torch.einsum("n,nchw->chw", weights[part], of_points)
    return mean


@register_explainer(
    "smoothgrad",
    source="Smilkov et al., arXiv:1706.03825; 50 samples, noise 15 %",
    family="gradient",
    needs=(INPUT_GRADIENTS,),
    aliases=("noise_tunnel",),
    style=Style("#0072B2", "--"),
    expensive=True,
    passes_grow_with="n_samples",
)
def smooth_grad(
    model: Network,
    images: Tensor,
    targets: Tensor,
    *,
    seed: int = 0,
    n_samples: Count = 50,
    noise_fraction: NonNegative = 0.15,
    batch_pixels: PassSize = GRADIENT_BATCH_PIXELS,
) -> Tensor:
    """Return the mean signed gradient of noisy images, summed over input channels, `(B, K, H, W)`.

    Gaussian noise is added to the pixels, before encoding, so that a noisy B-cos input is still an encoded
    image; it is not clipped. The forward pass of a noisy image serves all targets.

    Args:
        model: The network to explain.
        images: `(B, 3, H, W)` in [0, 1].
        targets: `(B, K)`.
        seed: Seed of the noise; every image has its own.
        n_samples: Noisy images.
        noise_fraction: Standard deviation of the noise, as a share of the image's range of values.
        batch_pixels: Pixels that go through the network at once on a CPU; on CUDA, for every 4 GiB of the card.
    """
    maps = []
    for image, wanted in zip(images, targets, strict=True):
        deviation = noise_fraction * (image.max() - image.min())
        generator = derived_generator(seed, "smoothgrad", image_key(image))
        total = image.new_zeros(len(wanted), *image.shape[1:])
        for part in batches(n_samples, image, batch_pixels):
            noise = _noise(part.stop - part.start, image, generator)
            noisy = model.encode(image + deviation * noise)
            gradients = input_gradients(model, noisy, wanted.expand(len(noisy), -1))
            for k, of_noisy in enumerate(gradients):
                total[k] += of_noisy.sum((0, 1))
        maps.append(total / n_samples)
    return torch.stack(maps)


def _noise(n_samples: int, image: Tensor, generator: torch.Generator) -> Tensor:
    # One draw per image: a generator fills long and short tensors in different orders.
    draws = [torch.randn(image.shape, generator=generator) for _ in range(n_samples)]
    return torch.stack(draws).to(image)
