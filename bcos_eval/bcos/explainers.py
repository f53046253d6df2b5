"""The explanations that belong to a B-cos network: its linear summary, of a class or of its lead over the mean."""

from __future__ import annotations

from collections.abc import Iterator
from typing import cast

import torch
from torch import Tensor, nn

from bcos_eval.contract.explainer import BCOS_NETWORK, INPUT_GRADIENTS, Style, register_explainer
from bcos_eval.contract.maps import stack_targets
from bcos_eval.contract.network import Network

from .explanation_mode import explanation_mode
from .frozen.fusion import for_gradients
from .linear_summary import contribution_map, gradients_by_target, summary_rows


@register_explainer(
    "bcos",
    source="Böhle et al., B-cos Alignment, TPAMI 2024, equations 9 to 11",
    family="bcos",
    needs=(BCOS_NETWORK, INPUT_GRADIENTS),
    aliases=("b_cos", "ours", "w(x)"),
    style=Style("#D55E00", "-"),
    shares_passes=True,
)
def bcos_contributions(model: Network, images: Tensor, targets: Tensor) -> Tensor:
    """Return what each pixel contributes to each target's logit, `(B, K, H, W)`.

    The maps sum to the logit minus the model's logit bias. One forward pass serves all targets.
    """
    encoded = model.encode(images)
    rows = summary_rows(cast("nn.Module", model), encoded, targets)
    return stack_targets(((encoded * weights).sum(1) for weights in rows), images)


@register_explainer(
    "bcos_relative",
    source='Böhle et al., B-cos Networks, CVPR 2022 (code: "OursRelative")',
    family="bcos",
    needs=(BCOS_NETWORK, INPUT_GRADIENTS),
    aliases=("ours_relative",),
    style=Style("#CC6677", "--"),
    shares_passes=True,
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
