"""Completeness: whether the attributions of an image add up to the logit that they explain."""

from __future__ import annotations

import torch
from torch import Tensor

from bcos_eval.contract.exactness import in_float64
from bcos_eval.contract.metric import Batch, MetricInfo, Scored, register_metric, unknown_chance
from bcos_eval.contract.statuses import Status, is_nonfinite, is_zero, map_statuses

# protocols.md 11: below a logit of 1 the residual counts absolutely.
SMALLEST_SCALE = 1.0


def completeness_residual(
    maps: Tensor, logits: Tensor, bias: Tensor | float = 0.0, position_term: Tensor | float = 0.0
) -> Tensor:
    """Return how far the sum of each map is from its part of the logit.

    Args:
        maps: Signed attributions `(B, K, H, W)`, in logits.
        logits: The targets' logits `(B, K)`.
        bias: The logits' bias, which belongs to no pixel.
        position_term: What position codes hold of the logits.

    Returns:
        `|sum − (logit − bias − position term)| / max(1, |logit − bias|)`, `(B, K)` float64, 0 is best. NaN for a
        map with NaN or infinity.

    Example:
        >>> import torch
        >>> completeness_residual(torch.tensor([[[[1.0, 2.0]]]]), torch.tensor([[-1.0]]), bias=-5.0)
        tensor([[0.2500]], dtype=torch.float64)
    """
    explained = in_float64(maps).flatten(2).sum(-1)
    evidence = in_float64(logits) - bias
    residual = (explained - (evidence - position_term)).abs() / evidence.abs().clamp_min(SMALLEST_SCALE)
    return residual.masked_fill(is_nonfinite(maps).to(residual.device), torch.nan)


@register_metric(
    MetricInfo(
        name="completeness",
        preset="default",
        stimulus="single",
        needs=("model", "explainer"),
        direction="lower",
        low=0.0,
        high=float("inf"),
        chance=None,
        source="Böhle et al. 2024, B-cos Alignment, equations 9 to 11",
        scale_invariant=False,
    ),
    recommended=True,
)
def _score(batch: Batch) -> Scored:
    """Score the relative residual of the map's sum; up to rounding 0 for the contributions of a B-cos network.

    Networks whose norms subtract a mean or add a bias are complete approximately only. Explainers that promise no
    completeness are measured by the same definition: a zero map scores near 1 where the evidence is large, and one
    on another scale (`uniform`) whatever its sum is. Zero and constant maps are marked and judged like any other.
    """
    explained, targets = batch.model, batch.targets
    encoded = explained.encode(batch.images)
    with torch.no_grad():
        logits = explained.logits(encoded).gather(1, targets.to(encoded.device))
    bias, position_term = explained.constant_terms(encoded, targets.to(encoded.device))
    values = completeness_residual(
        batch.maps.cpu(), logits.cpu(), in_float64(bias).cpu(), in_float64(position_term).cpu()
    )
    statuses = map_statuses(batch.maps, {Status.ZERO_MAP: is_zero(batch.maps)})
    return Scored(values, statuses, unknown_chance(values))
