"""Attention rollout: where the tokens of a vision transformer come from, whatever the class."""

from __future__ import annotations

import torch
from torch import Tensor

from bcos_eval.contract.explainer import Style, register_explainer
from bcos_eval.contract.network import Network

from .attention_matrices import SELF_ATTENTION, pooled_row, token_maps, watched_attention
from .spatial_features import Upsample, resized


@register_explainer(
    "rollout",
    source="Abnar & Zuidema, ACL 2020, section 3",
    family="attention",
    needs=(SELF_ATTENTION,),
    aliases=("attention_rollout",),
    style=Style("#E69F00", "-"),
)
def attention_rollout(
    model: Network, images: Tensor, targets: Tensor, *, upsample: Upsample = "bilinear"
) -> Tensor:
    """Return the share of each patch in the tokens that are classified, `(B, K, H, W)`, non-negative.

    Attention, averaged over heads, and the residual connection count half each; layers are multiplied. The
    row of the class token is taken, or the mean of all rows where tokens are pooled. No logit takes part:
    all targets of an image get the same map.

    Args:
        model: A vision transformer.
        images: `(B, 3, H, W)` in [0, 1].
        targets: `(B, K)`; their number is all that counts.
        upsample: How maps of patches are brought to the image's size.

    Raises:
        IncompatibleError: If the network's tokens are no grid of patches.
    """
    with torch.no_grad():
        maps = torch.stack([_rolled_out(model, image) for image in images])
        return resized(maps, images.shape[-2:], upsample).expand(-1, targets.shape[1], -1, -1)


def _rolled_out(model: Network, image: Tensor) -> Tensor:
    """Return the map `(1, h, w)` of one image `(3, H, W)`."""
    size = (image.shape[-2], image.shape[-1])
    layers: list[Tensor] = []
    # One image at a time, and heads averaged at once: matrices grow with the fourth power of the image's side.
    with watched_attention(model, lambda matrices: layers.append(matrices[0].mean(0))):
        model(model.encode(image[None]))
    row = pooled_row(layers[-1], size)
    # A row times the last layer first is the row of the whole product, which is never made.
    for attention in reversed(layers):
        row = (row + row @ attention) / 2
    return token_maps(model, row[None], size)
