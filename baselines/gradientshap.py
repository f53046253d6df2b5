"""GradientSHAP: expected gradients, integrated gradients with a drawn start and one drawn point of the path."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from bcos_eval.contract.explainer import INPUT_GRADIENTS, Style, register_explainer
from bcos_eval.contract.network import Network
from bcos_eval.contract.params import Count, PassSize
from bcos_eval.seeding import derived_generator, image_key

from .batching import GRADIENT_BATCH_PIXELS, batches
from .gradients import input_gradients

References = Literal["colours", "zero"]


@register_explainer(
    "gradientshap",
    source="Lundberg and Lee, NeurIPS 2017; Erion et al., Nature Machine Intelligence 2021; 50 samples",
    family="gradient",
    needs=(INPUT_GRADIENTS,),
    aliases=("gradient_shap", "expected_gradients"),
    style=Style("#0072B2", "-."),
    expensive=True,
    passes_grow_with="n_samples",
)
def gradient_shap(
    model: Network,
    images: Tensor,
    targets: Tensor,
    *,
    seed: int = 0,
    n_samples: Count = 50,
    references: References = "colours",
    batch_pixels: PassSize = GRADIENT_BATCH_PIXELS,
) -> Tensor:
    """Return the mean of `(x − r) · gradient(r + a (x − r))` over drawn r and a, channels summed, `(B, K, H, W)`.

    References `r` are images of one drawn colour, which a B-cos network can encode, or the encoded zero, where
    integrated gradients begin; `a` is uniform in [0, 1]. In expectation the maps sum to the logit minus the mean
    logit of the references; for a linear network the maps of drawn references do so exactly. Erion et al. draw
    references from the training images, which an explainer is not shown here. A point's forward pass serves all
    targets.

    Args:
        model: The network to explain.
        images: `(B, 3, H, W)` in [0, 1].
        targets: `(B, K)`.
        seed: Seed of the draws; every image has its own.
        n_samples: Drawn points.
        references: Where paths begin.
        batch_pixels: Pixels that go through the network at once on a CPU; on CUDA, for every 4 GiB of the card.
    """
    maps = []
    for image, wanted in zip(images, targets, strict=True):
        end = model.encode(image[None])[0]
        generator = derived_generator(seed, "gradientshap", image_key(image))
        places, colours = torch.rand(n_samples, generator=generator), torch.rand(n_samples, 3, generator=generator)
        total = image.new_zeros(len(wanted), *image.shape[1:])
        for part in batches(n_samples, image, batch_pixels):
            starts = _starts(model, image, colours[part].to(image), references)
            way = end - starts
            points = starts + places[part].to(image)[:, None, None, None] * way
            for k, gradient in enumerate(input_gradients(model, points, wanted.expand(len(points), -1))):
                total[k] += (gradient * way).sum((0, 1))
        maps.append(total / n_samples)
    return torch.stack(maps)


def _starts(model: Network, image: Tensor, colours: Tensor, references: References) -> Tensor:
    """Return encoded references `(n, C, H, W)`: images of the colours `(n, 3)`, or zeros."""
    encoded = model.encode(colours[:, :, None, None].expand(-1, -1, *image.shape[1:]))
    return encoded if references == "colours" else torch.zeros_like(encoded)
