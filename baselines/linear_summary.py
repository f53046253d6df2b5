"""The explanation that belongs to a B-cos network: its own linear summary."""

from __future__ import annotations

from typing import cast

from torch import Tensor, nn

from bcos_eval.bcos import contribution_map, summary_rows

from .gradients import stack_targets
from .network import Network
from .registry import register_explainer


@register_explainer("bcos", source="Böhle et al., B-cos Alignment, TPAMI 2024, equations 9 to 11", needs_bcos=True)
def bcos_contributions(model: Network, images: Tensor, targets: Tensor) -> Tensor:
    """Return what each pixel contributes to each target's logit, `(B, K, H, W)`.

    The maps sum to the logit minus the model's logit bias. One forward pass serves all targets.
    """
    encoded = model.encode(images)
    rows = summary_rows(cast("nn.Module", model), encoded, targets)
    return stack_targets((contribution_map(row, encoded) for row in rows), images)
