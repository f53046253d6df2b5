"""LIME for images: a weighted linear regression on the presence of superpixels; images without some of them."""

from __future__ import annotations

from typing import Annotated, Literal

import torch
from skimage.segmentation import quickshift
from torch import Tensor

from bcos_eval.contract.explainer import Style, register_explainer
from bcos_eval.contract.network import Network
from bcos_eval.contract.params import PassSize, Range
from bcos_eval.seeding import derived_generator, image_key

from .batching import FORWARD_BATCH_PIXELS, batches

_N_TOP = 5

# Settings of the `lime` package (LimeImageExplainer, LimeBase).
_KERNEL_WIDTH = 0.25
_RIDGE = 1.0

# Source: B-cos-v2, explainers/lime.py; also the defaults of the `lime` package.
LARGEST_KERNEL_SIZE = 4
# Of the images that kernel was chosen for.
_KERNEL_SIDE = 224
# Stands for the size that `kernel_size_for` chooses.
BY_IMAGE_SIZE = 0
_MAX_DISTANCE = 200
_COLOUR_RATIO = 0.2
# Numbers of input channels of which the first three are colours: standard and B-cos networks.
_COLOUR_INPUTS = (3, 6)

# Quickshift breaks ties by noise; a fixed seed makes the superpixels a function of the image alone.
_TIE_SEED = 42


@register_explainer(
    "lime",
    source="Ribeiro et al., KDD 2016; 500 samples, 5 superpixels, as in the B-cos papers",
    family="perturbation",
    style=Style("#CC79A7", "-"),
    expensive=True,
    passes_grow_with="n_samples",
)
def lime(
    model: Network,
    images: Tensor,
    targets: Tensor,
    *,
    seed: int = 0,
    n_samples: Annotated[int, Range(low=2)] = 500,
    kernel_size: Annotated[int, Range(low=0)] = BY_IMAGE_SIZE,
    map: Literal["top5", "weights"] = "top5",
    batch_pixels: PassSize = FORWARD_BATCH_PIXELS,
) -> Tensor:
    """Return the superpixels that speak for each target, `(B, K, H, W)`.

    Probabilities of images with about half of the superpixels set to their mean colour are regressed on
    which of them are left. Each perturbed image is evaluated once for all targets.

    Args:
        model: The network to explain.
        images: `(B, 3, H, W)` in [0, 1].
        targets: `(B, K)`.
        seed: Seed of the samples; every image has its own.
        n_samples: Perturbed images, of which the first is the image itself.
        kernel_size: Width of quickshift's kernel in pixels; 0 chooses it by the size of the image, see
            `kernel_size_for`: 4, as in the papers, from 224 pixels on, and less for smaller ones.
        map: `top5` marks the five superpixels with the highest positive weights by 1 (the B-cos papers'
            preset; fewer where fewer are positive, a zero map where none is), `weights` gives every pixel
            the signed weight of its superpixel.
        batch_pixels: Pixels that go through the network at once on a CPU; on CUDA, for every 4 GiB of the card.
    """
    maps = []
    for image, wanted in zip(images, targets, strict=True):
        encoded = model.encode(image[None])[0]
        segments = superpixels(encoded, image, kernel_size=kernel_size)
        generator = derived_generator(seed, "lime", image_key(image))
        keep = presence_samples(n_samples, int(segments.max()) + 1, generator).to(segments.device)
        logits = masked_logits(model, encoded, segments, keep, batch_pixels)
        weights = lime_weights(keep, model.probability(logits)[:, wanted])
        maps.append((weights if map == "weights" else top_superpixels(weights))[:, segments])
    return torch.stack(maps)


def presence_samples(n_samples: int, n_superpixels: int, generator: torch.Generator) -> Tensor:
    """Return the superpixels left, `(n_samples, n_superpixels)` bool: all in row 0, else half at random."""
    keep = torch.rand(n_samples, n_superpixels, generator=generator) < 0.5
    keep[0] = True
    return keep


def lime_weights(keep: Tensor, responses: Tensor) -> Tensor:
    """Return LIME's regression weight of every superpixel for every target.

    Ridge regression with an intercept. A sample's weight falls with its cosine distance `d` to the whole
    image: `sqrt(exp(−d² / 0.25²))`.

    Args:
        keep: Superpixels left in each sample, `(n, S)` bool.
        responses: Network response to each sample, `(n, K)`.

    Returns:
        `(K, S)`, float64.

    Source: `lime` package, LimeBase.explain_instance_with_data.
    """
    presence, values = keep.double(), responses.double()
    distance = 1 - presence.mean(1).sqrt()  # cosine distance of a 0/1 vector to the vector of ones
    similarity = (-(distance**2) / _KERNEL_WIDTH**2).exp().sqrt()[:, None]
    centred = presence - (similarity * presence).sum(0) / similarity.sum()
    deviation = values - (similarity * values).sum(0) / similarity.sum()
    gram = centred.T @ (similarity * centred)
    gram.diagonal().add_(_RIDGE)
    return torch.linalg.solve(gram, centred.T @ (similarity * deviation)).T


def top_superpixels(weights: Tensor) -> Tensor:
    """Return 1 for the five highest positive weights of each row of `(K, S)`, else 0; ties go to lower indices.

    A row with NaN is NaN.
    """
    order = weights.argsort(dim=1, descending=True, stable=True)[:, :_N_TOP]
    marked = torch.zeros_like(weights).scatter_(1, order, 1.0)
    undefined = weights.isnan().any(1, keepdim=True)
    return (marked * (weights > 0)).masked_fill(undefined, torch.nan)


def kernel_size_for(height: int, width: int) -> int:
    """Return the width of quickshift's kernel for an image: in proportion to the shorter side, from 1 to 4.

    With 4 everywhere a photograph of 64 × 64 pixels falls into about five superpixels, and a map that marks the
    five best is one solid panel.

    Example:
        >>> [kernel_size_for(side, side) for side in (32, 64, 112, 224, 672)]
        [1, 1, 2, 4, 4]
    """
    scaled = round(LARGEST_KERNEL_SIZE * min(height, width) / _KERNEL_SIDE)
    return min(LARGEST_KERNEL_SIZE, max(1, scaled))


def superpixels(encoded: Tensor, image: Tensor, *, kernel_size: int = BY_IMAGE_SIZE) -> Tensor:
    """Return the quickshift superpixel of every pixel, `(H, W)`, int64 in 0 … S − 1.

    A larger `kernel_size` gives fewer superpixels.

    Args:
        encoded: Network input `(C, H, W)`. Of 3 or 6 channels the first three are segmented, as the B-cos code
            does: the raw image for a B-cos network, the standardised one for a standard network, whose superpixels
            therefore differ.
        image: Pixels `(3, H, W)`; segmented where the network's input is no picture in three colours.
        kernel_size: Width of quickshift's kernel in pixels, 0 for that of `kernel_size_for`.
    """
    kernel_size = kernel_size or kernel_size_for(*image.shape[-2:])
    colours = encoded[:3] if len(encoded) in _COLOUR_INPUTS else image
    picture = colours.detach().permute(1, 2, 0).double().cpu().numpy()
    labels = quickshift(  # type: ignore[no-untyped-call] # skimage ships no type information
        picture, kernel_size=kernel_size, max_dist=_MAX_DISTANCE, ratio=_COLOUR_RATIO, rng=_TIE_SEED
    )
    _, dense = torch.from_numpy(labels).unique(return_inverse=True)
    return dense.to(encoded.device)


def mean_colours(encoded: Tensor, segments: Tensor) -> Tensor:
    """Return the input `(C, H, W)` with every pixel set to the mean of its superpixel.

    The mean is taken in encoded space; both encodings are affine, so it is the mean colour in pixels too.
    """
    flat, index = encoded.flatten(1).double(), segments.flatten()
    n_segments = int(index.max()) + 1
    sums = flat.new_zeros(len(flat), n_segments).index_add_(1, index, flat)
    means = sums / index.bincount(minlength=n_segments)
    return means[:, index].view_as(encoded).to(encoded.dtype)


def without_superpixels(encoded: Tensor, fill: Tensor, segments: Tensor, keep: Tensor) -> Tensor:
    """Return the input with superpixels replaced by the fill where `keep` is False.

    Args:
        encoded: `(C, H, W)`.
        fill: `(C, H, W)`.
        segments: Superpixel of every pixel, `(H, W)`.
        keep: `(n, S)`, bool.

    Returns:
        `(n, C, H, W)`.
    """
    return torch.where(keep[:, segments][:, None], encoded, fill)


def masked_logits(model: Network, encoded: Tensor, segments: Tensor, keep: Tensor, batch_pixels: int) -> Tensor:
    """Return the logits `(n, classes)` of images with superpixels set to their mean colour.

    Args:
        model: Frozen network.
        encoded: `(C, H, W)`.
        segments: Superpixel of every pixel, `(H, W)`.
        keep: False for the superpixels to remove, `(n, S)` bool.
        batch_pixels: Pixels that go through the network at once on a CPU; on CUDA, for every 4 GiB of the card.
    """
    fill = mean_colours(encoded, segments)
    with torch.no_grad():
        return torch.cat(
            [
                model(without_superpixels(encoded, fill, segments, keep[part]))
                for part in batches(len(keep), encoded, batch_pixels)
            ]
        )
