"""The attention matrices of a vision transformer, and the maps that their products give."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from bcos_eval.bcos import SelfAttention
from bcos_eval.contract.explainer import Need
from bcos_eval.contract.network import Network, name_of
from bcos_eval.contract.params import Param
from bcos_eval.errors import IncompatibleError

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
        f"follows the self-attention of vision transformers and '{name_of(model)}' has none; use gradcam, ixg or "
        "another method"
    )


SELF_ATTENTION = Need("self-attention", _refusal_without_attention)


@contextmanager
def watched_attention(model: Network, watch: Watch) -> Iterator[None]:
    """Call `watch` with each attention matrix `(B, heads, N, N)` of the forward passes inside the block, in order.

    Blocks are found by type: this package's `SelfAttention` and torch's `nn.MultiheadAttention`, which is asked
    for its weights. Hooks are removed afterwards, after an exception too.

    Raises:
        IncompatibleError: In a forward pass with attention of some tokens to others.
    """
    handles: list[RemovableHandle] = []

    def see(matrices: Tensor) -> None:
        if matrices.dim() != 4 or matrices.shape[-2] != matrices.shape[-1]:
            raise IncompatibleError(
                f"'{name_of(model)}' has attention that is no self-attention of one image's tokens, "
                f"of shape {tuple(matrices.shape)}; use ixg, intgrad or another method"
            )
        watch(matrices)

    try:
        for module in model.modules():
            handles.extend(_hooks(module, see))
        yield
    finally:
        for handle in handles:
            handle.remove()


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
