"""DiPart: the grid pointing game with a classifier that sees the features of one cell alone.

The backbone runs on the whole grid and the classifier on the cell's part of the feature map. Receptive fields may
cross the borders of cells, so a faithful attribution scores nearly 1, and not exactly. Only the top left and the
bottom right cell of each grid are explained.
"""

from __future__ import annotations

from bcos_eval.contract.metric import Batch, Scored, register_metric
from bcos_eval.contract.params import OddSide, Param

from .difull import disconnected_info
from .positive_energy import rao_no_mass, score_positive_share


@register_metric(disconnected_info("dipart", "dipart"), recommended=True)
def _score(batch: Batch, *, smoothing: OddSide, **_stimulus: Param) -> Scored:
    """Score the share of positive mass in the cell; a map without any scores 0 with status `zero_map`."""
    return score_positive_share(batch, smoothing=smoothing, has_no_mass=rao_no_mass)
