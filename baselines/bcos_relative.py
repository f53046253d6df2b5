"""What sets a class apart from the others: the linear summary of its lead over the mean class."""

from __future__ import annotations

from collections.abc import Iterator
from typing import cast

import torch
from torch import Tensor, nn

from bcos_eval.bcos import contribution_map, explanation_mode, for_gradients, gradients_by_target

from .gradients import stack_targets
from .network import Network
from .registry import register_explainer


@register_explainer(
    "bcos_relative",
    source='Böhle et al., B-cos Networks, CVPR 2022 (code: "OursRelative")',
    needs_bcos=True,
)
def relative_contributions(model: Network, images: Tensor, targets: Tensor) -> Tensor:
    """Return what each pixel contributes to a target's logit minus the mean of all logits, `(B, K, H, W)`.

    Evidence that a pixel gives to all classes alike cancels. The maps sum to that difference: the logit bias
    cancels too. One forward pass serves all targets, and one backward pass more than for `bcos` the mean.
    """
    encoded = model.encode(images)
    rows = _relative_rows(cast("nn.Module", model), encoded, targets)
    return stack_targets((contribution_map(row, encoded) for row in rows), images)


def _relative_rows(model: nn.Module, encoded: Tensor, targets: Tensor) -> Iterator[Tensor]:
    """Return the rows of the linear summary minus their mean over all classes: K tensors `(B, C, H, W)`."""
    network, x = for_gradients(model, encoded)
    with torch.enable_grad(), explanation_mode(network):
        logits = network(x)
    # The mean logit becomes a column of its own, explained first.
    columns = torch.cat([logits, logits.mean(1, keepdim=True)], 1)
    with_mean = torch.cat([targets.new_full((len(targets), 1), logits.shape[1]), targets], 1)
    rows = gradients_by_target(columns, x, with_mean)
    mean = next(rows)
    return (row - mean for row in rows)
