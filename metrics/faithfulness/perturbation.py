"""What a model says while pixels are replaced in a given order: the core of all deletion and insertion curves."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from bcos_eval.contract.explained_model import ExplainedModel, Remember, compute_anew, content_key
from bcos_eval.contract.metric import Batch, Scored, unknown_chance
from bcos_eval.contract.statuses import Status, is_nonfinite, is_zero, map_statuses

from ..ranking import tied_share

# On a CPU, larger passes outgrow the cache: ResNet-50 took 1.6 times as long per image of 224×224 in passes of 48
# as in passes of 4.
_CPU_PIXELS_PER_PASS = 2**17


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
    remember: Remember = compute_anew,
) -> Tensor:
    """Return the target's probability at every point of every curve.

    A curve is computed by itself, so that it does not depend on what else is scored, and from one running picture,
    of which a step overwrites the pixels that are new: memory grows with `batch_size`, not with the number of
    points. The untouched pictures at both ends are passed by themselves and remembered, for every curve that has
    one of them; so is the curve, for whoever walks it in the other direction.

    Args:
        perturbation: Pictures, orders and points.
        targets: Class followed along each curve, `(B, K)` int64.
        probability: Maps pictures `(S, C, H, W)` to probabilities `(S, classes)`.
        batch_size: Most pictures per forward pass; does not change the result, up to rounding.
        remember: Looks up or computes what this model and `probability` gave, see `memory_of`.

    Returns:
        Curves `(B, K, T)`, float64, on the CPU.

    Raises:
        ValueError: If the batch size is not positive.
    """
    if batch_size < 1:
        raise ValueError(f"batch_size is {batch_size}; give at least 1.")
    look = _Look(probability, remember, batch_size)
    order = perturbation.order.to(perturbation.start.device)
    ends = list(zip(perturbation.start, perturbation.end, strict=True))
    curves = [
        _curve(_Path(*ends[b], order[b, k], tuple(perturbation.counts)), target, look)
        for b, row in enumerate(targets.tolist())
        for k, target in enumerate(row)
    ]
    return torch.stack(curves).unflatten(0, targets.shape)


@dataclass(frozen=True, slots=True)
class _Look:
    """How a picture becomes probabilities, and where known ones are looked up; see `perturbation_curves`."""

    probability: Callable[[Tensor], Tensor]
    remember: Remember
    batch_size: int


@dataclass(frozen=True, slots=True)
class _Path:
    """One way: pictures `(C, H, W)`, order `(H·W,)` and points."""

    start: Tensor
    end: Tensor
    order: Tensor
    counts: tuple[int, ...]

    def backwards(self) -> _Path:
        """Return the same pictures in reversed sequence."""
        n_pixels = len(self.order)
        return _Path(
            self.end, self.start, self.order.flip(0), tuple(n_pixels - count for count in self.counts[::-1])
        )


def _curve(path: _Path, target: int, look: _Look) -> Tensor:
    """Return `(T,)`, float64, on the CPU."""
    # One of both directions is computed, whichever is asked for, so that they agree to the last bit.
    reverse = content_key(path.start) > content_key(path.end)
    forwards = path.backwards() if reverse else path
    key = content_key(forwards.start, forwards.end, forwards.order, forwards.counts, target, look.batch_size)
    curve = look.remember(key, lambda: _new_curve(forwards, target, look))
    return curve.flip(0) if reverse else curve


def _new_curve(path: _Path, target: int, look: _Look) -> Tensor:
    n_pixels = len(path.order)
    inner = [count for count in path.counts if 0 < count < n_pixels]
    frames = _frames(path, inner, _pictures_per_pass(path.start, len(inner), look.batch_size))
    before = [_untouched(path.start, target, look) for count in path.counts if count == 0]
    values = [look.probability(pictures)[:, target].double().cpu() for pictures in frames]
    after = [_untouched(path.end, target, look) for count in path.counts if count == n_pixels]
    return torch.cat([*before, *values, *after])


def _untouched(picture: Tensor, target: int, look: _Look) -> Tensor:
    probabilities = look.remember(content_key(picture), lambda: look.probability(picture[None]))
    return probabilities[:, target].double().cpu()


def _pictures_per_pass(picture: Tensor, n_pictures: int, batch_size: int) -> int:
    """Return how many pictures like `(C, H, W)` go through the network at once, in passes of nearly equal size."""
    limit = batch_size
    if picture.device.type == "cpu":
        limit = min(batch_size, max(_CPU_PIXELS_PER_PASS // picture[0].numel(), 1))
    n_passes = max(math.ceil(n_pictures / limit), 1)
    return max(math.ceil(n_pictures / n_passes), 1)


def _frames(path: _Path, counts: Sequence[int], n_per_pass: int) -> Iterator[Tensor]:
    """Yield the pictures at some points, in ascending order, `(S, C, H, W)` with S up to `n_per_pass`."""
    running, end, done = path.start.flatten(1).clone(), path.end.flatten(1), 0
    for first in range(0, len(counts), n_per_pass):
        points = counts[first : first + n_per_pass]
        frames = running.new_empty(len(points), *running.shape)
        for frame, count in zip(frames, points, strict=True):
            changed = path.order[done:count]
            frame.copy_(running.index_copy_(1, changed, end.index_select(1, changed)))
            done = count
        yield frames.unflatten(-1, path.start.shape[1:])


def equal_counts(n_pixels: int, n_steps: int) -> tuple[int, ...]:
    """Return how many pixels are replaced at n_steps + 1 points from 0 to all, as equal as whole numbers allow."""
    return tuple(round(step * n_pixels / n_steps) for step in range(n_steps + 1))


def stepped_counts(n_pixels: int, step: int) -> tuple[int, ...]:
    """Return 0, step, 2·step, … and finally all pixels, the last step being shorter where it has to."""
    return (*range(0, n_pixels, step), n_pixels)


def encoded_probability(model: ExplainedModel) -> Callable[[Tensor], Tensor]:
    """Return the model's probabilities as a function of network input."""
    return lambda encoded: model.probability(model.logits(encoded))


def pixel_probability(model: ExplainedModel) -> Callable[[Tensor], Tensor]:
    """Return the model's probabilities as a function of pixels in [0, 1]."""
    return lambda images: model.probability(model.logits(model.encode(images)))


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
        unknown_chance(values),
        curves.masked_fill(undefined[..., None], torch.nan),
        tied_share(batch.maps),
    )
