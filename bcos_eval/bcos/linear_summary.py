"""The linear summary W(x) of a B-cos network, for all targets of an image from one forward pass."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import torch
from torch import Tensor, nn

from bcos_eval.errors import IncompatibleError

from .explanation_mode import explanation_mode
from .frozen.fusion import for_gradients


def linear_summary(model: nn.Module, encoded: Tensor, targets: Tensor) -> Tensor:
    """Return the rows of the input-dependent linear map that belong to the targets.

    With the logit layer `y = z / T + b`, `sum(W · x) = y − b` (up to rounding) for every network whose
    norms do not subtract a mean.

    Args:
        model: A B-cos network, encoded input to logits `(B, C)`.
        encoded: Network input `(B, 6, H, W)`.
        targets: Class indices `(B, K)`, int64.

    Returns:
        `W(x)`, `(B, K, 6, H, W)`, dtype of the input.

    Source: TPAMI 2024, equations 9 to 11.
    """
    return _stacked(summary_rows(model, encoded, targets), encoded, targets)


def summary_rows(model: nn.Module, encoded: Tensor, targets: Tensor) -> Iterator[Tensor]:
    """Return what `linear_summary` returns, target by target: K tensors `(B, 6, H, W)`."""
    network, x = for_gradients(model, encoded)
    with torch.enable_grad(), explanation_mode(network):
        logits = network(x)
    return gradients_by_target(logits, x, targets)


def contribution_map(row: Tensor, encoded: Tensor) -> Tensor:
    """Return what each pixel contributes to a logit: the row of `W(x)` times the input, summed over channels.

    Args:
        row: Row of the linear summary that belongs to the logit, `(…, 6, H, W)`.
        encoded: Network input, broadcastable to the row.

    Returns:
        `(…, H, W)`, signed; sums to the logit minus its bias.
    """
    # In this order: the product takes the input's layout, and the layout decides the order of summation.
    return (encoded * row).sum(-3)


def target_gradients(logits: Tensor, x: Tensor, targets: Tensor) -> Tensor:
    """Return the gradients of the targets' logits by `x`: one backward pass per target, one shared graph.

    Args:
        logits: `(B, C)`, computed from `x`; an image's logits must not depend on other images of the batch.
        x: `(B, ...)`, requires a gradient.
        targets: Class indices `(B, K)`, int64.

    Returns:
        `(B, K, ...)`, detached.
    """
    return _stacked(gradients_by_target(logits, x, targets), x, targets)


def gradients_by_target(logits: Tensor, x: Tensor, targets: Tensor) -> Iterator[Tensor]:
    """Return what `target_gradients` returns, target by target: K tensors `(B, ...)`.

    Passes run one after the other: batching them needs K times the memory, and freshly mapped memory costs
    more than the passes save.
    """
    n_targets = targets.shape[1]
    for k in range(n_targets):
        chosen = logits.gather(1, targets[:, k : k + 1]).sum()
        gradient: Tensor | None = None
        if chosen.requires_grad:
            (gradient,) = torch.autograd.grad(chosen, x, retain_graph=k + 1 < n_targets, allow_unused=True)
        if gradient is None:
            raise IncompatibleError("the network gives no gradients; use lime, rise or occlusion")
        yield gradient


def _stacked(rows: Iterable[Tensor], x: Tensor, targets: Tensor) -> Tensor:
    stacked = x.new_empty(x.shape[0], targets.shape[1], *x.shape[1:])
    for k, row in enumerate(rows):
        stacked[:, k] = row
    return stacked
