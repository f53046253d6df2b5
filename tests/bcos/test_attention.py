from __future__ import annotations

import torch
from torch import Tensor, nn

from bcos_eval.bcos import BcosLinear, LayerNorm, SelfAttention, explanation_mode


def attention(norm: nn.Module | None = None) -> SelfAttention:
    torch.manual_seed(0)
    return SelfAttention(norm or nn.Identity(), BcosLinear(8, 8), dim=8, heads=2).double()


def loop_attention(block: SelfAttention, tokens: Tensor) -> Tensor:
    """The definition, head by head and query by query."""
    weights = block.to_qkv.weight.detach()
    mixed = torch.zeros_like(tokens)
    width = 8 // block.heads
    for image in range(len(tokens)):
        queries, keys, values = (tokens[image] @ weights[8 * i : 8 * (i + 1)].T for i in range(3))
        for head in range(block.heads):
            part = slice(head * width, (head + 1) * width)
            for query in range(tokens.shape[1]):
                scores = torch.stack([queries[query, part] @ key[part] for key in keys]) / width**0.5
                mixed[image, query, part] = scores.softmax(0) @ values[:, part]
    return block.to_out(mixed)


def test_attention_equals_the_definition():
    block, tokens = attention(), torch.randn(2, 5, 8, dtype=torch.float64)
    torch.testing.assert_close(block(tokens), loop_attention(block, tokens))


def test_in_explanation_mode_the_block_is_linear_in_its_input():
    block = attention(LayerNorm(8))
    tokens = torch.randn(1, 5, 8, dtype=torch.float64, requires_grad=True)
    with explanation_mode(block):
        out = block(tokens)
    (gradient,) = torch.autograd.grad(out[0, 2, 3], tokens)
    torch.testing.assert_close((gradient * tokens).sum(), out[0, 2, 3])
    assert torch.equal(out, block(tokens))
    (plain,) = torch.autograd.grad(block(tokens)[0, 2, 3], tokens)
    assert float((plain - gradient).norm() / gradient.norm()) > 0.1


def test_a_hook_sees_attention_that_sums_to_one():
    block, seen = attention(), []
    block.attend.register_forward_hook(lambda _module, _inputs, output: seen.append(output))
    block(torch.randn(1, 5, 8, dtype=torch.float64))
    assert seen[0].shape == (1, 2, 5, 5)
    torch.testing.assert_close(seen[0].sum(-1), torch.ones(1, 2, 5, dtype=torch.float64))
