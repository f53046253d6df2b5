"""Focus: how much of a class's positive attribution falls on its two images in a mosaic of four."""

from __future__ import annotations

from torch import Tensor

from bcos_eval.contract.metric import Batch, MetricInfo, Scored, register_metric

from .positive_energy import positive_share, score_positive_share


def focus_score(maps: Tensor, regions: Tensor) -> Tensor:
    """Share of the positive attribution that falls on the target's two cells of a 2×2 mosaic.

    Args:
        maps: Signed attributions `(B, K, H, W)`, any scale.
        regions: True on the cells of the target's class, `(B, K, H, W)` bool.

    Returns:
        Scores `(B, K)`, float64 in [0, 1], higher is better; chance is ½. A map without positive entries scores
        0, a map with NaN or infinity NaN, and so does an empty region. Quantus adds 1e-9 to the sum, which would
        make the score depend on the scale of the map.

    Raises:
        ValueError: If the shapes differ.

    Source: Arias-Duart et al., Focus! Rating XAI Methods and Finding Biases (FUZZ-IEEE 2022), section III.
    """
    return positive_share(maps, regions)


@register_metric(
    MetricInfo(
        name="focus",
        preset="default",
        stimulus="mosaic",
        direction="higher",
        low=0.0,
        high=1.0,
        chance="area",
        source="Arias-Duart et al. 2022; as in Quantus, without its constant",
    ),
    recommended=True,
)
def _score(batch: Batch) -> Scored:
    return score_positive_share(batch)
