"""The one formula behind the grid and the energy pointing game: positive mass inside over all of it."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor

from bcos_eval.contract.metric import Batch, Scored
from bcos_eval.contract.shapes import require_matching

from .region_scores import mask_undefined, scored_in_region
from .smoothing import smooth

# Rao et al. score maps whose positive sum does not exceed this as 0.
RAO_ZERO_MASS = 1e-7


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
