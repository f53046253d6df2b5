"""Gradient-weighted attention: which patches a vision transformer's attention brings to a class."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor

from bcos_eval.bcos import gradients_by_target
from bcos_eval.contract.explainer import Style, register_explainer
from bcos_eval.contract.network import Network

from .attention_matrices import SELF_ATTENTION, pooled_row, token_maps, watched_attention
from .spatial_features import Upsample, resized


@register_explainer(
    "attention_gradient",
    source="Chefer, Gur & Wolf, Generic Attention-model Explainability, ICCV 2021, equations 5 and 6",
    family="attention",
    needs=(SELF_ATTENTION,),
    aliases=("attention_gradients",),
    style=Style("#E69F00", "--"),
)
def attention_gradient(
    model: Network, images: Tensor, targets: Tensor, *, upsample: Upsample = "bilinear"
) -> Tensor:
    """Return the relevance of each patch for each target, `(B, K, H, W)`, non-negative.

    With the mean over heads `Ā = E((∇A ⊙ A)⁺)` of every layer's attention `A`, relevance starts as `R = I` and
    grows by `R ← R + Ā · R`. The map is the row of the class token without its own column. Where tokens are
    pooled it is the mean of all rows of `R − I`: what a token holds of itself says nothing of attention and
    would add the same constant everywhere. Taken outside explanation mode, which holds attention constant.

    Args:
        model: A vision transformer.
        images: `(B, 3, H, W)` in [0, 1].
        targets: `(B, K)`.
        upsample: How maps of patches are brought to the image's size.

    Raises:
        IncompatibleError: If the network's tokens are no grid of patches.
    """
    maps = torch.stack([_maps(model, image, wanted) for image, wanted in zip(images, targets, strict=True)])
    return resized(maps, images.shape[-2:], upsample)


def _maps(model: Network, image: Tensor, targets: Tensor) -> Tensor:
    """Return maps `(K, h, w)` of one image `(3, H, W)`."""
    size = (image.shape[-2], image.shape[-1])
    layers: list[Tensor] = []
    x = model.encode(image[None]).detach().requires_grad_()
    with watched_attention(model, layers.append):
        logits = model(x)
    start = pooled_row(layers[-1].detach(), size)
    product = _RowOfProduct(start, layers)
    rows = [product.take() for _ in gradients_by_target(logits, x, targets[None])]
    return token_maps(model, torch.stack(rows), size)


class _RowOfProduct:
    """What one row of `(I + Ā_L) … (I + Ā_1)` has beyond that of `I`, while a backward pass runs from L to 1.

    Kept apart from the row of `I`, which is larger by orders of magnitude and would swallow its digits. Gradients
    of attention are used as they come, so that those of one layer are in memory at a time.

    Args:
        start: What is multiplied from the left, `(N,)`.
        layers: Attention matrices `(1, heads, N, N)` of a graph, first layer first.
    """

    def __init__(self, start: Tensor, layers: Sequence[Tensor]) -> None:
        self._start = start
        self._grown = torch.zeros_like(start)
        for attention in layers:
            _softmax(attention).register_prehook(partial(self._multiply, attention.detach()))

    def take(self) -> Tensor:
        """Return what has grown, `(N,)`, and begin anew."""
        grown, self._grown = self._grown, torch.zeros_like(self._start)
        return grown

    def _multiply(self, attention: Tensor, gradients: tuple[Tensor, ...]) -> None:
        weighted = (gradients[0].view_as(attention) * attention).clamp(min=0)[0].mean(0)
        self._grown = self._grown + (self._start + self._grown) @ weighted


def _softmax(attention: Tensor) -> Any:  # noqa: ANN401 - torch does not name all methods of its nodes
    """Return the node of the graph that made attention matrices."""
    # Not always the last one: torch's own layer gives a view of the matrices that it uses.
    node: Any = attention.grad_fn
    while "Softmax" not in node.name():
        node = node.next_functions[0][0]
    return node
