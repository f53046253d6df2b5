"""Deletion curves by other implementations: Quantus' PixelFlipping, and RISE's loop written plainly.

Both take pixels in [0, 1], an order without ties and black as fill, and return the target's probability.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor, nn

from bcos_eval.models import Classifier

N_CHANNELS = 3

Curves = Callable[[Classifier, Tensor, Tensor, Tensor, int], Tensor]


class _StackedChannels(nn.Module):
    """Probabilities of images whose channels lie below each other, `(B, 1, 3·H, W)`.

    Quantus demands that its step divides the number of pixels of one channel, and a step of three elements per
    pixel seldom does; of the stacked image it does whenever whole pixels make up the steps.
    """

    def __init__(self, network: Classifier) -> None:
        super().__init__()
        self.network = network

    def forward(self, stacked: Tensor) -> Tensor:
        """Return `(B, classes)`."""
        images = stacked.unflatten(2, (N_CHANNELS, -1))[:, 0]
        return self.network.probability(self.network(self.network.encode(images)))


def quantus_curves(network: Classifier, images: Tensor, ranks: Tensor, targets: Tensor, step: int) -> Tensor:
    """Return Quantus' curves `(B, T)`, which lack the unperturbed point.

    Args:
        network: The network.
        images: `(B, 3, H, W)` in [0, 1].
        ranks: Place of every pixel in the order, 0 for the first removed, `(B, H, W)`.
        targets: `(B,)`.
        step: Pixels per step.
    """
    from quantus.metrics.faithfulness.pixel_flipping import PixelFlipping

    # Three different values per pixel, next to each other in the order: Quantus sorts channel elements.
    importance = -(N_CHANNELS * ranks[:, None] + torch.arange(N_CHANNELS)[:, None, None])
    metric = PixelFlipping(
        features_in_step=N_CHANNELS * step,
        normalise=False,
        perturb_baseline=0.0,  # type: ignore[arg-type,unused-ignore] # numbers are documented, only annotated as text
        disable_warnings=True,
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        curves = metric(
            model=_StackedChannels(network).eval(),
            x_batch=_stacked(images),
            y_batch=targets.numpy(),
            a_batch=_stacked(importance.double()),
            channel_first=True,
            softmax=False,
            device="cpu",
        )
    return torch.from_numpy(np.asarray(curves))


def rise_curves(network: Classifier, images: Tensor, ranks: Tensor, targets: Tensor, step: int) -> Tensor:
    """Return the curves `(B, T)` of RISE's protocol: one image, one point, one forward pass after the other.

    Arguments as for `quantus_curves`; both end points are there.
    """
    curves = []
    for image, rank, target in zip(images, ranks, targets, strict=True):
        picture = image.clone().flatten(1)
        order = rank.flatten().argsort()
        curve = []
        for done in range(0, len(order) + step, step):
            with torch.no_grad():
                logits = network(network.encode(picture.view_as(image)[None]))
            curve.append(float(network.probability(logits)[0, target]))
            picture[:, order[done : done + step]] = 0
        curves.append(curve)
    return torch.tensor(curves, dtype=torch.float64)


def _stacked(tensor: Tensor) -> np.ndarray:
    return tensor.flatten(1, 2)[:, None].numpy()
