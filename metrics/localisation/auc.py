"""Area under the ROC curve of the attribution as a detector of the region's pixels."""

from __future__ import annotations

import torch
from scipy import stats
from torch import Tensor

from bcos_eval.contract.exactness import in_float64
from bcos_eval.contract.metric import Batch, MetricInfo, Scored, register_metric
from bcos_eval.contract.shapes import require_matching
from bcos_eval.contract.statuses import is_zero

from .region_scores import mask_undefined, scored_in_region

CHANCE = 0.5


def region_auc(maps: Tensor, regions: Tensor) -> Tensor:
    """Probability that a pixel of the region has a larger attribution than one outside; ties count one half.

    Args:
        maps: Signed attributions `(B, K, H, W)`, any scale.
        regions: True on the object, `(B, K, H, W)` bool.

    Returns:
        Scores `(B, K)`, float64 in [0, 1], on the CPU, higher is better; chance is 0.5, which is also a constant
        map's score. A zero map scores NaN, and so do a map with NaN or infinity, an empty region and
        one without outside.

    Raises:
        ValueError: If the shapes differ.
    """
    require_matching(maps, regions)
    exact = in_float64(maps).cpu()
    inside = regions.flatten(2).cpu()
    ranks = torch.from_numpy(stats.rankdata(exact.flatten(2).nan_to_num().numpy(), axis=-1))
    n_inside, n_outside = inside.sum(-1), (~inside).sum(-1)
    # Mann-Whitney: pairs won by the region's pixels, from the sum of their ranks.
    won = (ranks * inside).sum(-1) - n_inside * (n_inside + 1) / 2
    auc = won / (n_inside * n_outside)
    return mask_undefined(auc.masked_fill(is_zero(exact), torch.nan), exact, regions)


@register_metric(
    MetricInfo(
        name="auc",
        preset="default",
        stimulus="single",
        direction="higher",
        low=0.0,
        high=1.0,
        chance=CHANCE,
        source="Fawcett 2006, ROC analysis, on the signed map",
    ),
    recommended=True,
)
def _score(batch: Batch) -> Scored:
    """Score `region_auc`; a region without outside is `skipped`."""
    values = region_auc(batch.maps, batch.regions)
    return scored_in_region(
        values,
        batch,
        zero_map=is_zero(batch.maps),
        skipped=batch.regions.flatten(2).all(-1),
        chance=torch.full_like(values, CHANCE),
    )
