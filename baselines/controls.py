"""Controls: maps that know nothing of the network."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from bcos_eval.contract.explainer import Style, register_explainer
from bcos_eval.contract.network import Network
from bcos_eval.seeding import derived_generator, image_key

# The centre control's standard deviation, as a share of the side.
_CENTER_WIDTH = 0.25


@register_explainer(
    "random",
    source="control: chance level",
    family="control",
    style=Style("#777777", ":"),
)
def random_maps(model: Network, images: Tensor, targets: Tensor, *, seed: int = 0) -> Tensor:
    """Return independent uniform noise in [0, 1) for each image and target, `(B, K, H, W)`.

    Positive everywhere, so that its energy in a region is the region's share of the area.
    """
    maps = [
        torch.stack([_noise(image, seed, key, int(target)) for target in wanted])
        for image, wanted, key in zip(images, targets, map(image_key, images), strict=True)
    ]
    return torch.stack(maps).to(images.device)


@register_explainer(
    "uniform",
    source="control: chance level",
    family="control",
    style=Style("#999999", "--"),
)
def uniform_maps(model: Network, images: Tensor, targets: Tensor) -> Tensor:
    """Return ones, `(B, K, H, W)`."""
    return images.new_ones(*targets.shape, *images.shape[-2:])


@register_explainer(
    "center",
    source="control: the centre of the image, Zhang et al., IJCV 2018",
    family="control",
    aliases=("centre",),
    style=Style("#AAAAAA", "-."),
)
def center_maps(model: Network, images: Tensor, targets: Tensor) -> Tensor:
    """Return a Gaussian bump with its largest value at pixel `(H // 2, W // 2)`, `(B, K, H, W)`."""
    rows, columns = (_bell(side) for side in images.shape[-2:])
    bump = (rows[:, None] * columns[None, :]).to(images)
    return bump.expand(*targets.shape, -1, -1).clone()


@register_explainer(
    "edges",
    source="control: Sobel gradient magnitude, Adebayo et al., NeurIPS 2018",
    family="control",
    aliases=("sobel",),
    style=Style("#AAAAAA", ":"),
)
def edge_maps(model: Network, images: Tensor, targets: Tensor) -> Tensor:
    """Return the Sobel gradient magnitude of the grey image, `(B, K, H, W)`, non-negative.

    The border is replicated, so that the frame itself is no edge.
    """
    grey = F.pad(images.mean(1, keepdim=True), (1, 1, 1, 1), mode="replicate")
    along_x = grey.new_tensor([[-1.0, 0.0, 1.0], [-2.0, 0.0, 2.0], [-1.0, 0.0, 1.0]]) / 8
    kernels = torch.stack([along_x, along_x.T])[:, None]
    magnitude = F.conv2d(grey, kernels).square().sum(1).sqrt()
    return magnitude[:, None].expand(-1, targets.shape[1], -1, -1).clone()


def _noise(image: Tensor, seed: int, key: str, target: int) -> Tensor:
    return torch.rand(image.shape[-2:], generator=derived_generator(seed, "random", key, target))


def _bell(side: int) -> Tensor:
    distance = (torch.arange(side, dtype=torch.float64) - side // 2) / (_CENTER_WIDTH * side)
    return (-distance.square() / 2).exp()
