"""LeGrad against the paper's equations, block by block and target by target."""

from __future__ import annotations

import re
from functools import partial

import pytest
import torch
from torch import nn
from torchvision.models import VisionTransformer

from bcos_eval.baselines import EXPLAINERS
from bcos_eval.errors import IncompatibleError, InputError

LEGRAD = partial(EXPLAINERS["legrad"], upsample="nearest", stretch="none")


def as_map(tokens, image):
    height, width = image.shape[-2] // 4, image.shape[-1] // 4
    return tokens.view(height, width).repeat_interleave(4, 0).repeat_interleave(4, 1)


def mean_positive(gradient):
    """Mean over heads and attending tokens of a gradient `(heads, N, N)`, in loops."""
    n_heads, n_rows, n_columns = gradient.shape
    found = torch.zeros(n_columns)
    for head in range(n_heads):
        for row in range(n_rows):
            found += gradient[head, row].clamp(min=0)
    return found / (n_heads * n_rows)


def of_simple_vit(model, image, target, blocks):
    """The mean over some blocks of a SimpleViT, whose pooled tokens are classified after each."""
    network = getattr(model, "network", model)
    maps = []
    for index in blocks:
        kept = {}
        attention, block = network.transformer[index].attn.attend, network.transformer[index]
        handles = [
            attention.register_forward_hook(lambda _m, _i, output, kept=kept: kept.update(attention=output)),
            block.register_forward_hook(lambda _m, _i, output, kept=kept: kept.update(tokens=output)),
        ]
        model(model.encode(image[None]))
        for handle in handles:
            handle.remove()
        height, width = image.shape[-2] // 4, image.shape[-1] // 4
        logit = model.head(kept["tokens"].mT.unflatten(-1, (height, width)))[0, target]
        (gradient,) = torch.autograd.grad(logit, kept["attention"])
        maps.append(mean_positive(gradient[0]))
    return sum(maps) / len(maps)


@pytest.mark.parametrize("n_layers", [0, 1, 2])
@pytest.mark.parametrize("kind", ["standard_transformer", "bcos_transformer"])
def test_gradients_of_each_block_s_own_logit_are_averaged(kind, n_layers, request, images, targets):
    model = request.getfixturevalue(kind)
    maps = LEGRAD(model, images, targets, n_layers=n_layers)
    blocks = range(3)[-n_layers:]
    for b, image in enumerate(images):
        for k, target in enumerate(targets[b]):
            expected = as_map(of_simple_vit(model, image, target, blocks), image)
            torch.testing.assert_close(maps[b, k], expected, rtol=1e-4, atol=1e-6 * float(expected.max()))
    assert (maps >= 0).all()
    assert not torch.equal(maps[0, 0], maps[0, 1])


class Wrapped(nn.Module):
    """Torchvision's transformer with a class token, shown plain images."""

    def __init__(self):
        super().__init__()
        self.network = VisionTransformer(24, 4, 2, 2, 8, 16, num_classes=5)
        nn.init.normal_(self.network.heads.head.weight)  # torchvision's is zero

    def encode(self, images):
        return images

    def probability(self, logits):
        return logits.softmax(-1)

    def forward(self, x):
        return self.network(x)


def of_torchvision(model, image, target):
    """The blocks written out, each with its attention as a leaf."""
    network = model.network
    patches = network.conv_proj(image[None]).flatten(2).mT[0]
    tokens = torch.cat([network.class_token[0], patches]) + network.encoder.pos_embedding[0]
    found = []
    for block in network.encoder.layers:
        normed, attention = block.ln_1(tokens), block.self_attention
        projected = normed @ attention.in_proj_weight.mT + attention.in_proj_bias
        queries, keys, values = projected.unflatten(1, (3, 2, 4)).permute(1, 2, 0, 3)
        matrix = (queries @ keys.mT / 2).softmax(-1).detach().requires_grad_()
        after = tokens + attention.out_proj((matrix @ values).transpose(0, 1).flatten(1))
        after = after + block.mlp(block.ln_2(after))
        logit = network.heads(network.encoder.ln(after)[0])[target]
        found.append(mean_positive(torch.autograd.grad(logit, matrix)[0]))
        tokens = after.detach()
    return (sum(found) / len(found))[1:]


def test_torch_s_own_attention_with_a_class_token_is_seen(images, targets):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = Wrapped().eval()
    maps = LEGRAD(model, images, targets)
    for b, image in enumerate(images):
        for k, target in enumerate(targets[b]):
            expected = as_map(of_torchvision(model, image, target), image)
            assert expected.max() > 0
            torch.testing.assert_close(maps[b, k], expected, rtol=1e-4, atol=1e-6 * float(expected.max()))


def test_maps_are_stretched_from_nought_to_one_unless_told(standard_transformer, images, targets):
    plain = EXPLAINERS["legrad"](standard_transformer, images, targets, stretch="none")
    low, high = plain.flatten(2).min(2).values, plain.flatten(2).max(2).values
    expected = (plain - low[..., None, None]) / (high - low)[..., None, None]
    torch.testing.assert_close(EXPLAINERS["legrad"](standard_transformer, images, targets), expected)


def test_a_map_that_is_the_same_everywhere_becomes_zero(standard_transformer, images, targets):
    nn.init.zeros_(standard_transformer.linear_head.linear.weight)
    assert not EXPLAINERS["legrad"](standard_transformer, images, targets).any()


def test_more_layers_than_there_are_count_as_all(standard_transformer, images, targets):
    maps = LEGRAD(standard_transformer, images, targets, n_layers=9)
    assert torch.equal(maps, LEGRAD(standard_transformer, images, targets))


def test_a_negative_number_of_layers_is_refused(standard_transformer, images, targets):
    with pytest.raises(InputError, match=r"^legrad\.n_layers=-1 is not allowed; use 0 or more$"):
        LEGRAD(standard_transformer, images, targets, n_layers=-1)


class WithoutBlocks(nn.Module):
    """A user's own transformer whose attention lies in a list, residual connections outside."""

    def __init__(self):
        super().__init__()
        self.patches, self.classifier = nn.Conv2d(3, 8, 4, 4), nn.Linear(8, 5)
        self.attentions = nn.ModuleList(nn.MultiheadAttention(8, 2, batch_first=True) for _ in range(2))

    def encode(self, images):
        return images

    def probability(self, logits):
        return logits.softmax(-1)

    def forward(self, x):
        tokens = self.patches(x).flatten(2).mT
        for attention in self.attentions:
            tokens = tokens + attention(tokens, tokens, tokens)[0]
        return self.classifier(tokens.mean(1))


def test_a_network_without_blocks_is_refused(images, targets):
    message = (
        "method 'legrad' classifies the tokens after each block and 'WithoutBlocks' has no sequence of blocks "
        "with one attention layer each; use attention_gradient, rollout or gradcam"
    )
    with pytest.raises(IncompatibleError, match=f"^{re.escape(message)}$"):
        LEGRAD(WithoutBlocks().eval(), images, targets)


def test_blocks_that_run_twice_are_refused_and_no_hook_stays(standard_transformer, images, targets):
    model = standard_transformer
    once = model.transformer.forward
    model.transformer.forward = lambda tokens: once(once(tokens))
    with pytest.raises(
        IncompatibleError, match=r"^method 'legrad' .* do not run once each, one after the other; "
    ):
        LEGRAD(model, images, targets)
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in model.modules())
