"""KernelSHAP: Shapley values of superpixels by weighted regression."""

from __future__ import annotations

from typing import Annotated

import torch
from torch import Tensor

from bcos_eval.contract.explainer import Style, register_explainer
from bcos_eval.contract.network import Network
from bcos_eval.contract.params import Count, PassSize, Range
from bcos_eval.seeding import derived_generator, image_key

from .batching import FORWARD_BATCH_PIXELS
from .lime import BY_IMAGE_SIZE, masked_logits, superpixels


@register_explainer(
    "kernelshap",
    source="Lundberg & Lee, NeurIPS 2017; LIME's superpixels, 500 samples",
    family="perturbation",
    aliases=("kernel_shap", "shap"),
    style=Style("#AA4499", "--"),
    expensive=True,
    passes_grow_with="n_samples",
)
def kernel_shap(
    model: Network,
    images: Tensor,
    targets: Tensor,
    *,
    seed: int = 0,
    n_samples: Count = 500,
    kernel_size: Annotated[int, Range(low=0)] = BY_IMAGE_SIZE,
    batch_pixels: PassSize = FORWARD_BATCH_PIXELS,
) -> Tensor:
    """Return the signed Shapley value of every pixel's superpixel for each target's logit, `(B, K, H, W)`.

    A removed superpixel is set to its mean colour. The values of an image's superpixels sum to the logit minus
    the logit without any superpixel. They are exact where all coalitions fit into `n_samples`. Each perturbed
    image is evaluated once for all targets.

    Args:
        model: The network to explain.
        images: `(B, 3, H, W)` in [0, 1].
        targets: `(B, K)`.
        seed: Seed of the samples; every image has its own.
        n_samples: Largest number of perturbed images besides the whole and the empty one.
        kernel_size: Width of quickshift's kernel, 0 for one by the size of the image, as for `lime`.
        batch_pixels: Pixels that go through the network at once on a CPU; on CUDA, for every 4 GiB of the card.
    """
    maps = []
    for image, wanted in zip(images, targets, strict=True):
        encoded = model.encode(image[None])[0]
        segments = superpixels(encoded, image, kernel_size=kernel_size)
        generator = derived_generator(seed, "kernelshap", image_key(image))
        keep, weights = coalitions(int(segments.max()) + 1, n_samples, generator)
        logits = masked_logits(model, encoded, segments, keep.to(segments.device), batch_pixels)
        values = shapley_regression(keep, weights, logits[:, wanted].cpu())
        maps.append(values.to(encoded)[:, segments])
    return torch.stack(maps)


def coalitions(n_players: int, n_samples: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Return who takes part in each coalition, and the coalitions' weights in the regression.

    The first two coalitions are empty and full and have weight 0, as the regression meets them exactly. Then
    come all others with their Shapley kernel weight, or, if these are more than `n_samples`, a sample drawn
    in proportion to that weight.

    Returns:
        Coalitions `(n, n_players)` bool and weights `(n,)` float64.
    """
    ends = torch.tensor([[False], [True]]).expand(2, n_players)
    if n_players < n_samples.bit_length() + 1 and 2**n_players - 2 <= n_samples:
        codes = torch.arange(1, 2**n_players - 1)
        keep = (codes[:, None] >> torch.arange(n_players)) % 2 == 1
        weights = _kernel(n_players)[keep.sum(1) - 1] / _binomials(n_players)[keep.sum(1) - 1]
    else:
        sizes = torch.multinomial(_kernel(n_players), n_samples, replacement=True, generator=generator) + 1
        ranks = torch.rand(n_samples, n_players, generator=generator).argsort(1).argsort(1)
        keep = ranks < sizes[:, None]
        weights = torch.ones(n_samples, dtype=torch.float64)
    return torch.cat([ends, keep]), torch.cat([weights.new_zeros(2), weights])


def shapley_regression(keep: Tensor, weights: Tensor, values: Tensor) -> Tensor:
    """Return the additive game nearest to the values, equal to them for the empty and the full coalition.

    Args:
        keep: Coalitions `(n, S)`, the first empty, the second full.
        weights: `(n,)`.
        values: Value of each coalition, `(n, K)`.

    Returns:
        `(K, S)`, float64; of several nearest games the one of smallest norm.
    """
    presence = keep.double()
    gains = values.double() - values[0].double()
    n_players = presence.shape[1]
    # The weighted normal equations, bordered by the constraint on the sum.
    system = presence.new_zeros(n_players + 1, n_players + 1)
    system[:-1, :-1] = presence.T @ (weights[:, None] * presence)
    system[-1, :-1] = system[:-1, -1] = 1
    right = torch.cat([presence.T @ (weights[:, None] * gains), gains[1:2]])
    return (torch.linalg.pinv(system, hermitian=True) @ right)[:-1].T


def _kernel(n_players: int) -> Tensor:
    """Return the Shapley kernel's weight of all coalitions of size 1 … S − 1 together, `(S − 1,)`."""
    sizes = torch.arange(1, n_players, dtype=torch.float64)
    return (n_players - 1) / (sizes * (n_players - sizes))


def _binomials(n_players: int) -> Tensor:
    """Return the number of coalitions of size 1 … S − 1, `(S − 1,)`."""
    sizes = torch.arange(1, n_players, dtype=torch.float64)
    factors = (n_players - sizes + 1) / sizes
    return factors.cumprod(0)
