"""Extremal perturbations: the part of an image, of a given area, that excites a class most."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from bcos_eval.contract.explainer import INPUT_GRADIENTS, Style, register_explainer
from bcos_eval.contract.network import Network
from bcos_eval.contract.params import Count, Positive
from bcos_eval.errors import InputError

# Source of the constants: TorchRay@6a198ee, torchray/attribution/extremal_perturbation.py.
_LEARNING_RATE = 0.01
_MOMENTUM = 0.9
# The area's weight grows from the first to the second; there by 0.35 % in each of 800 steps.
_FIRST_AREA_WEIGHT = 300.0
_LAST_AREA_WEIGHT = _FIRST_AREA_WEIGHT * 1.0035**800
_SHARPNESS = 20.0
_N_BLURS = 8
_LARGEST_BLUR = 20.0


@register_explainer(
    "extremal",
    source="Fong, Patrick & Vedaldi, ICCV 2019, preservation game; constants of TorchRay, fewer steps; slow",
    family="perturbation",
    needs=(INPUT_GRADIENTS,),
    aliases=("extremal_perturbation",),
    style=Style("#CC79A7", ":"),
    expensive=True,
    passes_grow_with="n_steps",
)
def extremal_perturbation(
    model: Network,
    images: Tensor,
    targets: Tensor,
    *,
    areas: str = "0.1",
    n_steps: Count = 200,
    step: Count = 7,
    sigma: Positive = 21.0,
) -> Tensor:
    """Return smooth masks that keep the target's logit highest, the mean over areas, `(B, K, H, W)` in [0, 1].

    A mask blurs the image where it is low and is optimised by gradient ascent on the logit, with a growing
    penalty on its distance from covering exactly the given share of the image. Every target has its own
    masks, thus its own passes: `n_steps` forward and backward for each target and area.

    It differs from TorchRay in three ways: the smooth maximum is taken between the mask's parameters and
    interpolated, not taken at each pixel; images are not mirrored in every other step, since their position
    is what is asked; and the area's weight grows as much in any number of steps.

    Args:
        model: The network to explain.
        images: `(B, 3, H, W)` in [0, 1].
        targets: `(B, K)`.
        areas: Shares of the image in (0, 1), separated by commas; several give graded maps.
        n_steps: Steps of the ascent (TorchRay: 800).
        step: Distance of the mask's parameters in pixels.
        sigma: Radius in pixels within which a mask is smooth.
    """
    shares = _shares(areas)
    maps = []
    for image, wanted in zip(images, targets, strict=True):
        size = (image.shape[-2], image.shape[-1])
        task = _Task(model, _pyramid(image), SmoothMasks(size, step, sigma), n_steps)
        # One by one: an ascent of many steps would turn the rounding of a batch's size into other masks.
        masks = [[_optimised(task, target, share) for share in shares.to(image)] for target in wanted]
        maps.append(torch.stack([torch.stack(of_target).mean(0) for of_target in masks]))
    return torch.stack(maps)


@dataclass(frozen=True, slots=True)
class SmoothMasks:
    """Masks that are a smooth maximum of coarse parameters.

    Attributes:
        size: Height and width of the masks.
        step: Distance of the parameters in pixels.
        sigma: Radius of the maximum in pixels.
    """

    size: tuple[int, int]
    step: int
    sigma: float

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns of parameters."""
        return math.ceil(self.size[0] / self.step), math.ceil(self.size[1] / self.step)

    def coarse(self, parameters: Tensor) -> Tensor:
        """Return the maximum of neighbours `(n, 1, h, w)` under a kernel that is 1 up to `sigma / 2`."""
        radius = 1 + math.ceil(self.sigma / self.step)
        offsets = torch.arange(-radius, radius + 1).to(parameters) * self.step / self.sigma
        distances = torch.cartesian_prod(offsets, offsets).norm(dim=1)
        kernel = torch.exp(-2 * (distances - 0.5).clamp(min=0) ** 2)
        around = F.unfold(parameters, 2 * radius + 1, padding=radius) * kernel[:, None]  # (n, neighbours, h · w)
        largest = (around * (_SHARPNESS * around).softmax(1)).sum(1)
        return largest.view_as(parameters)

    def fine(self, coarse: Tensor) -> Tensor:
        """Return masks at the image's size, `(n, 1, H, W)`."""
        return F.interpolate(coarse, self.size, mode="bilinear", align_corners=False)


@dataclass(frozen=True, slots=True)
class _Task:
    """What the masks of an image share: `pyramid` `(blurs, 3, H, W)`, from the blurriest to the image itself."""

    model: Network
    pyramid: Tensor
    masks: SmoothMasks
    n_steps: int


def _optimised(task: _Task, target: Tensor, area: Tensor) -> Tensor:
    """Return the mask `(H, W)` of a target and an area, both scalars."""
    rows, columns = task.masks.shape
    parameters = task.pyramid.new_ones(1, 1, rows, columns).requires_grad_()
    template = _template(area, rows * columns)
    ascent = torch.optim.SGD([parameters], lr=_LEARNING_RATE, momentum=_MOMENTUM, dampening=_MOMENTUM)
    growth = (_LAST_AREA_WEIGHT / _FIRST_AREA_WEIGHT) ** (1 / task.n_steps)
    for index in range(task.n_steps):
        with torch.enable_grad():
            coarse = task.masks.coarse(parameters)
            logits = task.model(task.model.encode(_blended(task.pyramid, task.masks.fine(coarse))))
            misfit = (coarse.flatten().sort().values - template).square().mean()
            loss = _FIRST_AREA_WEIGHT * growth**index * misfit - logits[0, target]
            (parameters.grad,) = torch.autograd.grad(loss, parameters)
        ascent.step()
        with torch.no_grad():
            parameters.clamp_(0, 1)
    with torch.no_grad():
        return task.masks.fine(task.masks.coarse(parameters))[0, 0]


def _template(area: Tensor, n_values: int) -> Tensor:
    """Return the sorted values `(n_values,)` of a mask that is 1 on the area and 0 elsewhere."""
    n_zeros = (n_values * (1 - area)).round()
    return (torch.arange(n_values, device=area.device) >= n_zeros).to(area)


def _blended(pyramid: Tensor, masks: Tensor) -> Tensor:
    """Return images `(n, 3, H, W)`: each pixel interpolated between the two blurs next to its mask's value."""
    levels = torch.arange(len(pyramid)).to(masks)[:, None, None]
    weights = (1 - (masks * (len(pyramid) - 1) - levels).abs()).clamp(min=0)  # (n, blurs, H, W)
    return torch.einsum("nlhw,lchw->nchw", weights, pyramid)


def _pyramid(image: Tensor) -> Tensor:
    """Return the image `(3, H, W)` under Gaussian blurs of falling width, `(blurs, 3, H, W)`."""
    sigmas = torch.linspace(_LARGEST_BLUR, 0, _N_BLURS).tolist()
    return torch.stack([_blurred(image, sigma) for sigma in sigmas])


def _blurred(image: Tensor, sigma: float) -> Tensor:
    if sigma == 0:
        return image
    radius = math.ceil(3 * sigma)
    kernel = torch.exp(-((torch.arange(-radius, radius + 1) / sigma) ** 2) / 2).to(image)
    kernel = kernel / kernel.sum()
    padded = F.pad(image[None], (radius,) * 4, mode="replicate").transpose(0, 1)  # (3, 1, H', W')
    return F.conv2d(F.conv2d(padded, kernel[None, None, :, None]), kernel[None, None, None])[:, 0]


def _shares(areas: str) -> Tensor:
    try:
        shares = [float(entry) for entry in areas.split(",")]
    except ValueError:
        shares = []
    if not shares or not all(0 < share < 1 for share in shares):
        raise InputError(
            f"extremal.areas={areas} is not allowed; use numbers between 0 and 1, such as 0.05,0.1,0.2"
        )
    return torch.tensor(shares)
