"""Attention maps against the papers' equations, written out with whole matrices."""

from __future__ import annotations

import re
from functools import partial

import pytest
import torch
from torch import nn

from bcos_eval.baselines import EXPLAINERS
from bcos_eval.baselines.attention import patch_grid
from bcos_eval.bcos import SelfAttention
from bcos_eval.errors import IncompatibleError

ROLLOUT = partial(EXPLAINERS["rollout"], upsample="nearest")
ATTENTION_GRADIENT = partial(EXPLAINERS["attention_gradient"], upsample="nearest")


@pytest.fixture(params=["standard_transformer", "bcos_transformer"])
def transformer(request):
    return request.getfixturevalue(request.param)


def attention_and_gradients(model, image, target):
    """All matrices `(heads, N, N)` of an image and the gradients of a logit with respect to them."""
    seen = []
    handles = [
        module.attend.register_forward_hook(lambda _m, _i, output: seen.append(output))
        for module in model.modules()
        if isinstance(module, SelfAttention)
    ]
    logit = model(model.encode(image[None]))[0, target]
    for handle in handles:
        handle.remove()
    gradients = torch.autograd.grad(logit, seen)
    return [a[0].detach().double() for a in seen], [g[0].double() for g in gradients]


def as_map(row, image):
    height, width = image.shape[-2] // 4, image.shape[-1] // 4
    return row.view(height, width).repeat_interleave(4, 0).repeat_interleave(4, 1)


def test_rollout_is_the_product_of_halved_attention_and_identity(transformer, images, targets):
    maps = ROLLOUT(transformer, images, targets)
    for image, of_image in zip(images, maps, strict=True):
        matrices, _ = attention_and_gradients(transformer, image, 0)
        product = torch.eye(36, dtype=torch.float64)
        for matrix in matrices:
            product = (matrix.mean(0) + torch.eye(36).double()) / 2 @ product
        expected = as_map(product.mean(0), image).float()  # tokens are pooled: the mean of all rows
        torch.testing.assert_close(of_image, expected.expand(3, -1, -1), rtol=1e-5, atol=1e-8)


def test_rollout_shares_one_image_s_tokens_out(transformer, images, targets):
    maps = ROLLOUT(transformer, images, targets)
    torch.testing.assert_close(maps.sum((2, 3)), torch.full((3, 3), 16.0), rtol=1e-5, atol=0)
    assert (maps >= 0).all()


def test_gradient_weighted_attention_follows_equations_5_and_6(transformer, images, targets):
    maps = ATTENTION_GRADIENT(transformer, images, targets)
    for b in range(3):
        for k in range(3):
            relevance = torch.eye(36, dtype=torch.float64)
            for a, g in zip(*attention_and_gradients(transformer, images[b], targets[b, k]), strict=True):
                relevance = relevance + (a * g).clamp(min=0).mean(0) @ relevance
            expected = as_map((relevance - torch.eye(36)).mean(0), images[b]).float()
            torch.testing.assert_close(maps[b, k], expected, rtol=1e-4, atol=1e-6 * expected.max().item())
    assert not torch.equal(maps[0, 0], maps[0, 1])


class ClassTokenNetwork(nn.Module):
    """A user's own transformer: torch's attention, and a class token that is classified."""

    def __init__(self):
        super().__init__()
        self.patches = nn.Conv2d(3, 8, 4, stride=4)
        self.token = nn.Parameter(torch.randn(1, 1, 8))
        self.blocks = nn.ModuleList(nn.MultiheadAttention(8, 2, batch_first=True) for _ in range(2))
        self.classifier = nn.Linear(8, 5)

    def encode(self, images):
        return images

    def forward(self, x):
        patches = self.patches(x).flatten(2).mT
        tokens = torch.cat([self.token.expand(len(x), -1, -1), patches], 1)
        for block in self.blocks:
            tokens = tokens + block(tokens, tokens, tokens, need_weights=False)[0]
        return self.classifier(tokens[:, 0])


def class_token_attention(model, image):
    """Return the matrices `(heads, N, N)` of both blocks, made by hand, and the logits that they lead to."""
    tokens, seen = torch.cat([model.token, model.patches(image[None]).flatten(2).mT], 1)[0], []
    for block in model.blocks:
        projected = tokens @ block.in_proj_weight.mT + block.in_proj_bias
        queries, keys, values = projected.unflatten(1, (3, 2, 4)).permute(1, 2, 0, 3)
        seen.append((queries @ keys.mT / 2).softmax(-1))
        tokens = tokens + block.out_proj((seen[-1] @ values).transpose(0, 1).flatten(1))
    return seen, model.classifier(tokens[0])


def test_torch_s_own_attention_with_a_class_token_is_read_in_the_token_s_row(images, targets):
    torch.manual_seed(0)
    model = ClassTokenNetwork().eval()
    seen, logits = class_token_attention(model, images[0])
    product = torch.eye(37)
    for weights in seen:
        product = (weights.mean(0).detach() + torch.eye(37)) / 2 @ product
    rolled = ROLLOUT(model, images, targets)[0, 0]
    torch.testing.assert_close(rolled, as_map(product[0, 1:], images[0]), rtol=1e-5, atol=1e-8)

    maps = ATTENTION_GRADIENT(model, images, targets)
    for k in range(3):
        gradients = torch.autograd.grad(logits[targets[0, k]], seen, retain_graph=True)
        relevance = torch.eye(37)
        for a, g in zip(seen, gradients, strict=True):
            relevance = relevance + (a * g).detach().clamp(min=0).mean(0) @ relevance
        expected = as_map(relevance[0, 1:], images[0])
        torch.testing.assert_close(maps[0, k], expected, rtol=1e-4, atol=1e-7)


def test_a_network_without_attention_is_refused(standard, images, targets):
    for name in ("rollout", "attention_gradient"):
        message = (
            f"method '{name}' follows attention matrices and 'ToyNetwork' shows none: those of "
            "nn.MultiheadAttention and of this suite's transformers are seen, attention fused into "
            "F.scaled_dot_product_attention is not; use gradcam, ixg or another method"
        )
        with pytest.raises(IncompatibleError, match=f"^{re.escape(message)}$"):
            EXPLAINERS[name](standard, images, targets)


@pytest.mark.parametrize(
    ("n_patches", "size", "grid"),
    [(36, (24, 24), (6, 6)), (24, (16, 24), (4, 6)), (196, (224, 224), (14, 14)), (37, (24, 24), None)],
)
def test_patches_are_laid_out_in_the_image_s_proportions(n_patches, size, grid):
    assert patch_grid(n_patches, size) == grid
