"""What a model says while pixels are replaced in a given order: the core of all deletion and insertion curves."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from .map_status import is_nonfinite, is_zero, map_statuses
from .ranking import rank_of_pixels
from .registry import Batch, Predict, Scored, Status


@dataclass(frozen=True, slots=True)
class Perturbation:
    """K ways to get from one picture to another, pixel by pixel; all channels of a pixel change together.

    Attributes:
        start: Pictures before the first step, `(B, C, H, W)`.
        end: Pictures that have replaced them after all H·W pixels, `(B, C, H, W)`.
        order: Pixel indices, first replaced first, `(B, K, H·W)` int64.
        counts: For each of the T points of the curve, how many pixels are replaced.
    """

    start: Tensor
    end: Tensor
    order: Tensor
    counts: Sequence[int]


@torch.no_grad()
def perturbation_curves(
    perturbation: Perturbation,
    targets: Tensor,
    *,
    probability: Callable[[Tensor], Tensor],
    batch_size: int,
) -> Tensor:
    """Return the target's probability at every point of every curve.

    A picture is made when its forward pass is due, from the places of its pixels in the order: memory grows with
    `batch_size`, not with the number of points.

    Args:
        perturbation: Pictures, orders and points.
        targets: Class followed along each curve, `(B, K)` int64.
        probability: Maps pictures `(S, C, H, W)` to probabilities `(S, classes)`.
        batch_size: Pictures per forward pass; does not change the result.

    Returns:
        Curves `(B, K, T)`, float64, on the CPU.

    Raises:
        ValueError: If the batch size is not positive.
    """
    if batch_size < 1:
        raise ValueError(f"batch_size is {batch_size}; give at least 1.")
    device = perturbation.start.device
    ranks = rank_of_pixels(perturbation.order).to(device)  # (B, K, H·W)
    counts = torch.tensor(perturbation.counts, device=device)
    shape = (*targets.shape, len(counts))
    points = torch.cartesian_prod(*(torch.arange(n, device=device) for n in shape))  # (B·K·T, 3)
    values = []
    for image, unit, point in (chunk.unbind(-1) for chunk in points.split(batch_size)):
        replaced = ranks[image, unit] < counts[point, None]  # (S, H·W)
        frames = _mix(perturbation, image, replaced)
        target = targets.to(device)[image, unit]
        values.append(probability(frames).gather(-1, target[:, None])[:, 0].double().cpu())
    return torch.cat(values).reshape(shape)


def _mix(perturbation: Perturbation, image: Tensor, replaced: Tensor) -> Tensor:
    height, width = perturbation.start.shape[-2:]
    here = replaced.unflatten(-1, (height, width))[:, None]  # (S, 1, H, W)
    return torch.where(here, perturbation.end[image], perturbation.start[image])


def equal_counts(n_pixels: int, n_steps: int) -> tuple[int, ...]:
    """Return how many pixels are replaced at n_steps + 1 points from 0 to all, as equal as whole numbers allow."""
    return tuple(round(step * n_pixels / n_steps) for step in range(n_steps + 1))


def stepped_counts(n_pixels: int, step: int) -> tuple[int, ...]:
    """Return 0, step, 2·step, … and finally all pixels, the last step being shorter where it has to."""
    return (*range(0, n_pixels, step), n_pixels)


def encoded_probability(predict: Predict) -> Callable[[Tensor], Tensor]:
    """Return the model's probabilities as a function of network input."""
    return lambda encoded: predict.probability(predict.logits(encoded))


def pixel_probability(predict: Predict) -> Callable[[Tensor], Tensor]:
    """Return the model's probabilities as a function of pixels in [0, 1]."""
    return lambda images: predict.probability(predict.logits(predict.encode(images)))


def normalised_area(curves: Tensor, counts: Sequence[int] | None = None) -> Tensor:
    """Return the trapezoidal area below curves `(..., T)`, divided by their width.

    A constant curve has the area of its constant, a straight line that of its middle.

    Args:
        curves: Values at T points.
        counts: Replaced pixels at each point; not given for equally spaced points.

    Raises:
        ValueError: If there are fewer than two points.
    """
    n_points = curves.shape[-1]
    if n_points < 2:
        raise ValueError(f"a curve of {n_points} point has no area; give at least two points.")
    positions = torch.tensor(range(n_points) if counts is None else counts, device=curves.device).double()
    return torch.trapezoid(curves.double(), positions) / (positions[-1] - positions[0])


def scored_curves(batch: Batch, curves: Tensor, values: Tensor) -> Scored:
    """Return curves and their summary, both NaN for a map that gives no order, without chance level.

    Args:
        batch: What they were computed from.
        curves: `(B, K, T)`, float64.
        values: Scores `(B, K)`, float64.
    """
    zero = is_zero(batch.maps)
    undefined = (zero | is_nonfinite(batch.maps)).cpu()
    return Scored(
        values.masked_fill(undefined, torch.nan),
        map_statuses(batch.maps, {Status.ZERO_MAP: zero}),
        torch.full_like(values, torch.nan),
        curves.masked_fill(undefined[..., None], torch.nan),
    )
