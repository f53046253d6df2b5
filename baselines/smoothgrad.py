"""SmoothGrad: the mean gradient of noisy images."""

from __future__ import annotations

import torch
from torch import Tensor

from bcos_eval.contract.explainer import Style, register_explainer
from bcos_eval.contract.network import Network
from bcos_eval.contract.params import Count, Positive
from bcos_eval.errors import InputError
from bcos_eval.seeding import derived_generator, image_key

from .batching import GRADIENT_BATCH_PIXELS, batches
from .gradients import input_gradients


@register_explainer(
    "smoothgrad",
    source="Smilkov et al., arXiv:1706.03825; 50 samples, noise 15 %",
    family="gradient",
    aliases=("noise_tunnel",),
    style=Style("#0072B2", "--"),
    expensive=True,
)
def smooth_grad(
    model: Network,
    images: Tensor,
    targets: Tensor,
    *,
    seed: int = 0,
    n_samples: Count = 50,
    noise_fraction: Positive = 0.15,
    batch_pixels: Count = GRADIENT_BATCH_PIXELS,
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
        batch_pixels: Pixels that go through the network at once.
    """
    if n_samples < 1:
        raise InputError(f"smoothgrad.n_samples={n_samples} is not allowed; use 1 or more")
    maps = []
    for image, wanted in zip(images, targets, strict=True):
        deviation = noise_fraction * (image.max() - image.min())
        generator = derived_generator(seed, "smoothgrad", image_key(image))
        total = image.new_zeros(len(wanted), *image.shape[1:])
        for part in batches(n_samples, image[0].numel(), batch_pixels):
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
