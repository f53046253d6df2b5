"""Self-attention whose output is an input-dependent linear map of its values."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from .explanation_mode import DynamicLinear


class SelfAttention(DynamicLinear):
    """Multi-head self-attention on normalised tokens: `to_out(A(x) V x)`, without the residual connection.

    In explanation mode the attention matrix `A(x)` is a constant, so that the block is linear in its values.
    The projections to queries, keys and values are plain: they need no B-cos transform to be explained.

    Args:
        norm: Applied to the tokens first.
        to_out: Mixes the heads, `dim` to `dim`; a B-cos linear layer in B-cos networks.
        dim: Channels of a token.
        heads: Number of heads; each has `dim // heads` channels.

    Source: Vaswani et al. (2017), equation 1; TPAMI 2024, section 3.3.
    """

    def __init__(self, norm: nn.Module, to_out: nn.Module, *, dim: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.norm = norm
        # A module of its own, so that a forward hook sees the attention matrices (B, heads, N, N).
        self.attend = nn.Softmax(dim=-1)
        self.to_qkv = nn.Linear(dim, 3 * dim, bias=False)
        self.to_out = to_out

    def forward(self, tokens: Tensor) -> Tensor:
        """Map tokens `(B, N, dim)` to `(B, N, dim)`."""
        projected = self.to_qkv(self.norm(tokens)).unflatten(-1, (3, self.heads, -1))
        queries, keys, values = projected.permute(2, 0, 3, 1, 4)  # each (B, heads, N, dim / heads)
        attention = self.attend(queries @ keys.mT * queries.shape[-1] ** -0.5)
        if self.explaining:
            attention = attention.detach()
        mixed: Tensor = torch.matmul(attention, values)
        return self.to_out(mixed.transpose(1, 2).flatten(2))
