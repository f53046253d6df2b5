"""What the attention of vision transformers says: rollout, and attention weighted by its gradient."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode
from torch.utils.hooks import RemovableHandle

from bcos_eval.bcos import SelfAttention, gradients_by_target
from bcos_eval.contract.explainer import Need, Style, register_explainer
from bcos_eval.contract.network import Network, name_of
from bcos_eval.contract.params import Param
from bcos_eval.errors import IncompatibleError

from .gradcam import Upsample, resized

Watch = Callable[[Tensor], None]

# In the order of nn.MultiheadAttention.forward.
_MULTIHEAD_ARGUMENTS = (
    "query",
    "key",
    "value",
    "key_padding_mask",
    "need_weights",
    "attn_mask",
    "average_attn_weights",
    "is_causal",
)


def has_attention(model: Network) -> bool:
    """Return whether a network has self-attention of a kind whose matrices can be seen."""
    return any(isinstance(module, SelfAttention | nn.MultiheadAttention) for module in model.modules())


def _refusal_without_attention(model: Network, _params: Mapping[str, Param]) -> str | None:
    if has_attention(model):
        return None
    return (
        f"follows attention matrices and '{name_of(model)}' shows none: those of nn.MultiheadAttention and of "
        "this suite's transformers are seen, attention fused into F.scaled_dot_product_attention is not; use "
        "gradcam, ixg or another method"
    )


SELF_ATTENTION = Need("self-attention", _refusal_without_attention)


@contextmanager
def watched_attention(model: Network, watch: Watch) -> Iterator[None]:
    """Call `watch` with each attention matrix `(B, heads, N, N)` of the forward passes inside the block, in order.

    Blocks are found by type: this package's `SelfAttention` and torch's `nn.MultiheadAttention`, which is asked
    for its weights. Hooks are removed afterwards, after an exception too.

    Raises:
        IncompatibleError: In a forward pass with attention of some tokens to others, with attention that cannot be
            seen, or without any that is.
    """
    handles: list[RemovableHandle] = []
    n_seen = 0

    def see(matrices: Tensor) -> None:
        nonlocal n_seen
        n_seen += 1
        if matrices.dim() != 4 or matrices.shape[-2] != matrices.shape[-1]:
            raise IncompatibleError(
                f"'{name_of(model)}' has attention that is no self-attention of one image's tokens, "
                f"of shape {tuple(matrices.shape)}; use ixg, intgrad or another method"
            )
        watch(matrices)

    try:
        for module in model.modules():
            handles.extend(_hooks(module, see))
        with _FusedAttention(model):
            yield
    finally:
        for handle in handles:
            handle.remove()
    if n_seen == 0:
        raise IncompatibleError(
            f"'{name_of(model)}' used none of its attention in a forward pass, as compiled networks do; give the "
            "network as it was before, or use ixg, intgrad or another method"
        )


class _FusedAttention(TorchFunctionMode):
    """Refuses forward passes with attention whose matrices are never made."""

    def __init__(self, model: Network) -> None:
        super().__init__()
        self._model = model

    def __torch_function__(
        self,
        func: Callable[..., object],
        _types: object,
        args: Sequence[object] = (),
        kwargs: Mapping[str, object] | None = None,
    ) -> object:
        """Call a function of torch."""
        if func is F.scaled_dot_product_attention:
            raise IncompatibleError(
                f"'{name_of(self._model)}' has attention that is fused into F.scaled_dot_product_attention and "
                "cannot be seen; use gradcam, ixg or another method"
            )
        return func(*args, **(kwargs or {}))


def _hooks(module: nn.Module, see: Watch) -> list[RemovableHandle]:
    if isinstance(module, SelfAttention):
        return [module.attend.register_forward_hook(lambda _module, _inputs, output: see(output))]
    if isinstance(module, nn.MultiheadAttention):
        return [
            module.register_forward_pre_hook(_ask_for_weights, with_kwargs=True),
            module.register_forward_hook(lambda _module, _inputs, output: see(output[1])),
        ]
    return []


def _ask_for_weights(_module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[Any, Any]:
    given = dict(zip(_MULTIHEAD_ARGUMENTS, args, strict=False)) | kwargs
    return (), given | {"need_weights": True, "average_attn_weights": False}


def token_maps(model: Network, relevance: Tensor, size: tuple[int, int]) -> Tensor:
    """Lay the relevance of tokens `(K, N)` out as maps `(K, h, w)`; a class token is left out.

    Args:
        model: The network, for the error.
        relevance: A value for each token; the patches row by row, after the class token if there is one.
        size: Height and width of the image, whose proportions the patches share.

    Raises:
        IncompatibleError: If the tokens are no patches of such an image.
    """
    n_tokens = relevance.shape[-1]
    grid = patch_grid(n_tokens, size)
    if grid is not None:
        return relevance.unflatten(-1, grid)
    grid = patch_grid(n_tokens - 1, size)
    if grid is None:
        raise IncompatibleError(
            f"the {n_tokens} tokens of '{name_of(model)}' are no grid of patches of an image of "
            f"{size[0]}×{size[1]} pixels, with or without a class token; use ixg, intgrad or another method"
        )
    return relevance[..., 1:].unflatten(-1, grid)


def pooled_row(matrices: Tensor, size: tuple[int, int]) -> Tensor:
    """Return how the classifier reads the tokens, `(N,)`: the class token alone, or all of them alike."""
    n_tokens = matrices.shape[-1]
    row = matrices.new_zeros(n_tokens)
    if patch_grid(n_tokens, size) is None:
        row[0] = 1
    else:
        row.fill_(1 / n_tokens)
    return row


def patch_grid(n_patches: int, size: tuple[int, int]) -> tuple[int, int] | None:
    """Return rows and columns of square patches that cover an image, or None if no side gives that many."""
    height, width = size
    grids = ((math.ceil(height / side), math.ceil(width / side)) for side in range(1, max(size) + 1))
    return next((grid for grid in grids if math.prod(grid) == n_patches), None)


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
            softmax_node(attention).register_prehook(partial(self._multiply, attention.detach()))

    def take(self) -> Tensor:
        """Return what has grown, `(N,)`, and begin anew."""
        grown, self._grown = self._grown, torch.zeros_like(self._start)
        return grown

    def _multiply(self, attention: Tensor, gradients: tuple[Tensor, ...]) -> None:
        weighted = (gradients[0].view_as(attention) * attention).clamp(min=0)[0].mean(0)
        self._grown = self._grown + (self._start + self._grown) @ weighted


def softmax_node(attention: Tensor) -> Any:  # noqa: ANN401 - torch does not name all methods of its nodes
    """Return the node of the graph that made attention matrices."""
    # Not always the last one: torch's own layer gives a view of the matrices that it uses.
    node: Any = attention.grad_fn
    while "Softmax" not in node.name():
        node = node.next_functions[0][0]
    return node
