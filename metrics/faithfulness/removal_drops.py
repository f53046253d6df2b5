"""What sets of pixels are worth: to the attribution, their sum; to the network, the logit's drop without them."""

from __future__ import annotations

import torch
from torch import Tensor

from bcos_eval.contract.exactness import in_float64
from bcos_eval.contract.explained_model import ExplainedModel
from bcos_eval.contract.metric import Batch

from .fills import black


def attribution_of(maps: Tensor, removed: Tensor) -> Tensor:
    """Return the signed sum of maps `(K, H, W)` over pixel sets `(R, H, W)`, `(K, R)` float64, on the CPU."""
    return in_float64(maps).cpu().flatten(1) @ removed.cpu().flatten(1).double().T


@torch.no_grad()
def logit_drops_without(
    model: ExplainedModel, image: Tensor, targets: Tensor, removed: Tensor, *, batch_size: int
) -> Tensor:
    """Return the targets' logits minus their logits with black pixels, `(K, R)` float64, on the CPU.

    Args:
        model: The model.
        image: Pixels `(3, H, W)` in [0, 1]; the fill is a colour of the image, encoded afterwards.
        targets: Classes `(K,)`.
        removed: True on the pixels that turn black, `(R, H, W)` bool.
        batch_size: Pictures per forward pass; does not change the result, up to rounding.

    Raises:
        ValueError: If the batch size is not positive.
    """
    if batch_size < 1:
        raise ValueError(f"batch_size is {batch_size}; give at least 1.")
    sets = torch.cat([torch.zeros_like(removed[:1]), removed])[:, None].to(image.device)  # (1 + R, 1, H, W)
    fill = black(image)
    logits = [
        model.logits(model.encode(torch.where(chunk, fill, image)))[:, targets.to(image.device)].double().cpu()
        for chunk in sets.split(batch_size)
    ]
    whole, without = torch.cat(logits).split([1, len(removed)])
    return (whole - without).T


def sums_and_drops(batch: Batch, removed: list[Tensor], *, batch_size: int) -> tuple[Tensor, Tensor]:
    """Return attribution sums and logit drops `(B, K, R)`, float64, on the CPU.

    Args:
        batch: Maps, images, targets and the model.
        removed: Pixel sets `(R, H, W)` of each image.
        batch_size: Pictures per forward pass.
    """
    sums = [attribution_of(maps, sets) for maps, sets in zip(batch.maps, removed, strict=True)]
    drops = [
        logit_drops_without(batch.model, image, targets, sets, batch_size=batch_size)
        for image, targets, sets in zip(batch.images, batch.targets, removed, strict=True)
    ]
    return torch.stack(sums), torch.stack(drops)
