"""What takes the place of removed pixels."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
import torch
import torch.nn.functional as F
from scipy import ndimage
from torch import Tensor

from bcos_eval.contract.explained_model import ExplainedModel
from bcos_eval.errors import InputError

IMAGENET_MEAN = (0.485, 0.456, 0.406)

# protocols.md 5.3: the suite's blur.
BLUR_KERNEL = 51
BLUR_SIGMA = 10.0

# RISE@d91ea00 evaluation.py: the kernel is a Gaussian-filtered impulse, cut to this size.
RISE_KERNEL = 11
RISE_SIGMA = 5.0


def black(images: Tensor) -> Tensor:
    """Return black pictures of the shape of `images`."""
    return torch.zeros_like(images)


def mean_colour(images: Tensor) -> Tensor:
    """Return pictures `(B, 3, H, W)` of ImageNet's mean colour."""
    colour = torch.tensor(IMAGENET_MEAN, dtype=images.dtype, device=images.device)
    return colour[:, None, None].expand_as(images)


def blurred(images: Tensor) -> Tensor:
    """Return the images `(B, 3, H, W)` blurred by a Gaussian of σ = 10 pixels, reflected at the border.

    Raises:
        InputError: If a side has fewer pixels than the reflection needs.
    """
    reach = BLUR_KERNEL // 2
    if min(images.shape[-2:]) <= reach:
        size = "×".join(str(side) for side in images.shape[-2:])
        raise InputError(f"images of {size} are too small to blur; give sides above {reach}, or another fill.")
    distance = torch.arange(-reach, reach + 1, device=images.device, dtype=images.dtype)
    weights = torch.exp(-(distance**2) / (2 * BLUR_SIGMA**2))
    row = (weights / weights.sum()).expand(images.shape[1], 1, 1, -1)
    padded = F.pad(images, (reach,) * 4, mode="reflect")
    across = F.conv2d(padded, row, groups=images.shape[1])
    return F.conv2d(across, row.mT, groups=images.shape[1])


def rise_blurred(encoded: Tensor) -> Tensor:
    """Return network input `(B, C, H, W)` blurred as RISE does: almost a box filter, zeros beyond the border."""
    impulse = np.zeros((RISE_KERNEL, RISE_KERNEL))
    impulse[RISE_KERNEL // 2, RISE_KERNEL // 2] = 1
    weights = torch.from_numpy(ndimage.gaussian_filter(impulse, RISE_SIGMA)).to(encoded)
    kernel = weights.expand(encoded.shape[1], 1, -1, -1)
    return F.conv2d(encoded, kernel, padding=RISE_KERNEL // 2, groups=encoded.shape[1])


def rgb_zero(model: ExplainedModel, images: Tensor) -> Tensor:
    """Return network input whose colour channels are 0, as IDSDS removes pixels.

    That is the mean colour for networks with standardised input, and black for B-cos networks, whose inverse
    channels are appended afterwards.
    """
    encoded = model.encode(torch.zeros_like(images))
    appends_inverse = encoded.shape[1] == 2 * images.shape[1]
    return encoded if appends_inverse else torch.zeros_like(encoded)


PIXEL_FILLS: Mapping[str, Callable[[Tensor], Tensor]] = {
    "black": black,
    "mean_colour": mean_colour,
    "blur": blurred,
}
