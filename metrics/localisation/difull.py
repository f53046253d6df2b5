"""DiFull: the grid pointing game with a network that sees one cell alone, so that the answer is known.

The network is cut to the target's cell, so whatever lies outside cannot have contributed: a faithful attribution
scores exactly 1. Only the top left and the bottom right cell of each grid are explained.
"""

from __future__ import annotations

from bcos_eval.contract.metric import Batch, MetricInfo, Scored, View, register_metric
from bcos_eval.contract.params import OddSide, Param

from .positive_energy import rao_no_mass, score_positive_share

DEFAULT_CELLS_PER_SIDE = 3


def disconnected_info(name: str, view: View) -> MetricInfo:
    """Return the description of a metric on grids whose cells are disconnected from each other.

    `rule=rao2022_repeat_corners` draws the two explained cells from one class.
    """
    return MetricInfo(
        name=name,
        preset="rao2022",
        stimulus="grid",
        direction="higher",
        low=0.0,
        high=1.0,
        chance="area",
        source="Rao et al. 2022, section 3.2; Attribution-Evaluation@15f9118 evaluation/localization.py",
        defaults={"n": DEFAULT_CELLS_PER_SIDE, "smoothing": 1, "rule": "rao2022"},
        view=view,
        note="rule=rao2022_repeat_corners: both explained cells show one class",
    )


@register_metric(disconnected_info("difull", "difull"), recommended=True)
def _score(batch: Batch, *, smoothing: OddSide, **_stimulus: Param) -> Scored:
    """Score the share of positive mass in the cell; a map without any scores 0 with status `zero_map`."""
    return score_positive_share(batch, smoothing=smoothing, has_no_mass=rao_no_mass)
