"""What localisation scores are made of: smoothed maps, the positive mass in a region, statuses, chance levels.

One formula is behind the grid pointing game, the energy pointing game and Focus: positive mass inside the region
over all of it. They differ in the stimulus, in smoothing and in what counts as a map without positive mass.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from bcos_eval.contract.exactness import in_float64
from bcos_eval.contract.metric import Batch, Scored
from bcos_eval.contract.shapes import require_matching
from bcos_eval.contract.statuses import Status, area_share, is_empty, is_nonfinite, map_statuses

# Rao et al. score maps whose positive sum does not exceed this as 0.
RAO_ZERO_MASS = 1e-7


def mask_undefined(values: Tensor, maps: Tensor, regions: Tensor) -> Tensor:
    """Return the values `(B, K)` with NaN where the map is not finite or the region is empty."""
    undefined = is_nonfinite(maps) | is_empty(regions).to(maps.device)
    return values.masked_fill(undefined.to(values.device), torch.nan)


def scored_in_region(
    values: Tensor,
    batch: Batch,
    *,
    zero_map: Tensor,
    skipped: Tensor | None = None,
    chance: Tensor | None = None,
    tied: Tensor | None = None,
) -> Scored:
    """Return localisation scores with status and chance level.

    Args:
        values: Scores `(B, K)`.
        batch: What they were computed from.
        zero_map: True where the status is `zero_map`, `(B, K)` bool.
        skipped: True where the status is `skipped`, `(B, K)` bool; nowhere if not given.
        chance: Chance levels `(B, K)`; the region's share of the area if not given.
        tied: See `Scored`.
    """
    conditions = {Status.ZERO_MAP: zero_map, Status.EMPTY_REGION: is_empty(batch.regions)}
    if skipped is not None:
        conditions[Status.SKIPPED] = skipped
    expected = area_share(batch.regions) if chance is None else chance
    return Scored(values.cpu(), map_statuses(batch.maps, conditions), expected.cpu(), tied=tied)


def smooth(maps: Tensor, kernel: int) -> Tensor:
    """Return the mean of each pixel's `kernel` × `kernel` neighbourhood, zeros assumed outside the map.

    The zeros count in the mean, so mass near the border shrinks; B-cos v2's `localisation.py` does the same.

    Args:
        maps: Signed maps `(B, K, H, W)`.
        kernel: Odd side in pixels; 1 changes nothing.

    Returns:
        Smoothed maps `(B, K, H, W)`, float64. NaN and infinity spread over their neighbourhood.

    Raises:
        ValueError: If the kernel is not odd and positive.
    """
    _require_odd(kernel)
    exact = in_float64(maps)
    if kernel == 1:
        return exact
    return F.avg_pool2d(exact, kernel, stride=1, padding=(kernel - 1) // 2, count_include_pad=True)


def gaussian_smooth(maps: Tensor, kernel: int, sigma: float) -> Tensor:
    """Return maps blurred by a Gaussian that is cut off at `kernel` pixels, mirrored at the border.

    The mirror leaves out the border pixel itself, as torchvision's `gaussian_blur` does.

    Args:
        maps: Signed maps `(B, K, H, W)`.
        kernel: Odd side of the Gaussian in pixels.
        sigma: Its standard deviation in pixels.

    Returns:
        Smoothed maps `(B, K, H, W)`, float64.

    Raises:
        ValueError: If the kernel is not odd and positive, or half of it does not fit into the maps.
    """
    _require_odd(kernel)
    radius = (kernel - 1) // 2
    if radius >= min(maps.shape[-2:]):
        height, width = maps.shape[-2:]
        raise ValueError(
            f"a Gaussian of {kernel} pixels cannot be mirrored at the border of maps of {height}×{width}; "
            f"give maps of {radius + 1} pixels or more."
        )
    exact = in_float64(maps)
    distance = torch.arange(-radius, radius + 1, dtype=exact.dtype, device=exact.device)
    weights = torch.exp(-0.5 * (distance / sigma) ** 2)
    weights = weights / weights.sum()
    padded = F.pad(exact, [radius] * 4, mode="reflect").flatten(0, 1)[:, None]  # (B·K, 1, H, W)
    rows = F.conv2d(padded, weights[None, None, None])
    return F.conv2d(rows, weights[None, None, :, None]).view(maps.shape)


def _require_odd(kernel: int) -> None:
    if kernel < 1 or kernel % 2 == 0:
        raise ValueError(f"smoothing is {kernel}; give an odd number of pixels, 1 for none.")


def no_mass(total: Tensor) -> Tensor:
    """Return True where there is no positive mass at all."""
    return total <= 0


def rao_no_mass(total: Tensor) -> Tensor:
    """Return True where the positive mass is none by the threshold of Rao et al., which ALOE shares."""
    return total <= RAO_ZERO_MASS


def positive_mass(maps: Tensor, regions: Tensor, *, smoothing: int = 1) -> tuple[Tensor, Tensor]:
    """Return the positive mass inside the region and in the whole map.

    Args:
        maps: Signed attributions `(B, K, H, W)`, any scale.
        regions: True inside, `(B, K, H, W)` bool.
        smoothing: Side of the average pooling applied to the signed map first; 1 for none.

    Returns:
        Two tensors `(B, K)`, float64.

    Raises:
        ValueError: If the shapes differ.
    """
    return mass_of_smoothed(smooth(maps, smoothing), regions)


def mass_of_smoothed(smoothed: Tensor, regions: Tensor) -> tuple[Tensor, Tensor]:
    """Return what `positive_mass` returns, of maps `(B, K, H, W)` that are smoothed already, float64."""
    require_matching(smoothed, regions)
    positive = smoothed.clamp_min(0)
    inside = positive * regions.to(positive.device)
    return inside.flatten(2).sum(-1), positive.flatten(2).sum(-1)


def positive_share(
    maps: Tensor,
    regions: Tensor,
    *,
    smoothing: int = 1,
    has_no_mass: Callable[[Tensor], Tensor] = no_mass,
) -> Tensor:
    """Return the share of the positive mass that lies inside the region.

    Args:
        maps: Signed attributions `(B, K, H, W)`, any scale.
        regions: True inside, `(B, K, H, W)` bool.
        smoothing: Side of the average pooling applied to the signed map first; 1 for none.
        has_no_mass: Says of which totals `(B, K)` the share is 0 by convention.

    Returns:
        Shares `(B, K)`, float64 in [0, 1]; NaN for a map with NaN or infinity and for an empty region.

    Raises:
        ValueError: If the shapes differ.
    """
    inside, total = positive_mass(maps, regions, smoothing=smoothing)
    share = _ratio(inside, total, has_no_mass(total))
    return mask_undefined(share, maps, regions)


def score_positive_share(
    batch: Batch, *, smoothing: int = 1, has_no_mass: Callable[[Tensor], Tensor] = no_mass
) -> Scored:
    """Return the shares of a batch (see `positive_share`) with status and chance level.

    A map of which `has_no_mass` holds, so also one of negative entries only, has status `zero_map`.
    """
    inside, total = positive_mass(batch.maps, batch.regions, smoothing=smoothing)
    nothing = has_no_mass(total)
    shares = mask_undefined(_ratio(inside, total, nothing), batch.maps, batch.regions)
    return scored_in_region(shares, batch, zero_map=nothing)


def _ratio(inside: Tensor, total: Tensor, nothing: Tensor) -> Tensor:
    return (inside / total.masked_fill(nothing, 1)).masked_fill(nothing, 0)
