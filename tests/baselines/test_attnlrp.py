"""AttnLRP against relevance passed back rule by rule, against lxt's own rules, and zennit's for γ."""

from __future__ import annotations

import re
from functools import partial

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from bcos_eval.baselines import EXPLAINERS, attnlrp
from bcos_eval.errors import IncompatibleError, InputError
from bcos_eval.models import model_info

ATTNLRP = EXPLAINERS["attnlrp"]
EPSILON = {"conv_gamma": 0.0, "linear_gamma": 0.0}


def through_linear(x, weight, bias, relevance):
    """Equation 8 with ε = 0: outputs share their relevance by the inputs' contributions."""
    output = x @ weight.mT if bias is None else x @ weight.mT + bias
    return x * ((relevance / output) @ weight)


def through_norm(x, norm, relevance):
    """A linear layer whose matrix subtracts the mean and scales; the deviation is a constant."""
    deviation = (x.var(-1, correction=0, keepdim=True) + norm.eps).sqrt()
    centre = torch.eye(x.shape[-1]) - 1 / x.shape[-1]
    found = torch.zeros_like(x)
    for row in range(len(x)):
        matrix = norm.weight[:, None] * centre / deviation[row]
        found[row] = through_linear(x[row : row + 1], matrix, norm.bias, relevance[row : row + 1])[0]
    return found


def through_product(a, b, relevance):
    """Proposition 3.3: both factors of `a @ b` get half of what equation 8 gives one of them."""
    shares = relevance / (2 * (a @ b))
    return a * (shares @ b.mT), b * (a.mT @ shares)


def through_attention(x, attention, relevance):
    """Relevance of the tokens `(N, dim)` that enter a SelfAttention, by loops over heads."""
    normed = attention.norm(x)
    projected = normed @ attention.to_qkv.weight.mT
    queries, keys, values = projected.chunk(3, -1)
    size = queries.shape[-1] // attention.heads
    heads = [slice(size * head, size * (head + 1)) for head in range(attention.heads)]
    scores = [queries[:, head] @ keys[:, head].mT * size**-0.5 for head in heads]
    mixed = torch.cat([s.softmax(-1) @ values[:, head] for s, head in zip(scores, heads, strict=True)], -1)
    of_mixed = through_linear(mixed, attention.to_out.weight, attention.to_out.bias, relevance)
    of_queries, of_keys, of_values = (torch.zeros_like(queries) for _ in range(3))
    for head, s in zip(heads, scores, strict=True):
        of_weights, of_values[:, head] = through_product(s.softmax(-1), values[:, head], of_mixed[:, head])
        # Proposition 3.1.
        of_scores = s * (of_weights - s.softmax(-1) * of_weights.sum(-1, keepdim=True))
        of_queries[:, head], of_keys_turned = through_product(queries[:, head], keys[:, head].mT, of_scores)
        of_keys[:, head] = of_keys_turned.mT
    of_projected = torch.cat([of_queries, of_keys, of_values], -1)
    return through_norm(x, attention.norm, through_linear(normed, attention.to_qkv.weight, None, of_projected))


def through_perceptron(x, net, relevance):
    hidden = net.linear1(net.norm(x))
    # GELU passes relevance on as it is.
    of_hidden = through_linear(net.act(hidden), net.linear2.weight, net.linear2.bias, relevance)
    of_normed = through_linear(net.norm(x), net.linear1.weight, net.linear1.bias, of_hidden)
    return through_norm(x, net.norm, of_normed)


def through_residual(x, branch, relevance, through):
    output = x + branch
    return x * relevance / output + through(branch * relevance / output)


def by_hand(model, image, target):
    """Relevance of the pixels `(3, H, W)`, each rule of the paper on its own."""
    encoded = model.encode(image[None])
    patches = model.to_patch_embedding.patches(encoded)[0]
    embedded = model.to_patch_embedding.linear(patches)
    from bcos_eval.models.vit import position_codes

    entering = (embedded + position_codes(embedded[None])).flatten(0, 1)
    inputs = []
    x = entering
    for block in model.transformer:
        inputs.append(x)
        middle = block.attn(x[None])[0] + x
        inputs.append(middle)
        x = block.ff(middle[None])[0] + middle
    pooled = x.mean(0, keepdim=True)
    normed = model.linear_head.norm(pooled)
    head = model.linear_head.linear
    start = torch.zeros(1, 5)
    start[0, target] = head(normed)[0, target]
    relevance = through_norm(pooled, model.linear_head.norm, through_linear(normed, head.weight, head.bias, start))
    relevance = x * (relevance / pooled) / len(x)
    for block in reversed(model.transformer):
        middle, before = inputs.pop(), inputs.pop()
        net = block.ff.net
        relevance = through_residual(
            middle, net(middle), relevance, lambda r, m=middle, n=net: through_perceptron(m, n, r)
        )
        attention = block.attn
        relevance = through_residual(
            before,
            attention(before[None])[0],
            relevance,
            lambda r, x=before, a=attention: through_attention(x, a, r),
        )
    # Codes of positions keep their share.
    relevance = relevance * embedded.flatten(0, 1) / entering
    linear = model.to_patch_embedding.linear
    of_patches = through_linear(patches.flatten(0, 1), linear.weight, linear.bias, relevance)
    height, width = image.shape[-2] // 4, image.shape[-1] // 4
    pixels = of_patches.view(height, width, 4, 4, 3).permute(4, 0, 2, 1, 3)
    return pixels.reshape(3, *image.shape[1:])


def test_maps_are_the_paper_s_rules_one_after_the_other(standard_transformer, images, targets):
    """In float64 at 1e-7: the divisions by small outputs, which the gradient's form does not have, cost digits."""
    default = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    try:
        model, images = standard_transformer.double().requires_grad_(False), images.double()
        for block in model.transformer:  # biases and weights that say something
            for norm in (block.attn.norm, block.ff.net.norm):
                norm.weight.uniform_(0.5, 1.5, generator=torch.Generator().manual_seed(2))
                norm.bias.uniform_(-0.5, 0.5, generator=torch.Generator().manual_seed(3))
        maps = attnlrp.attention_relevance(model, images, targets, **EPSILON)
        for b, image in enumerate(images):
            for k, target in enumerate(targets[b]):
                expected = by_hand(model, image, target).sum(0)
                torch.testing.assert_close(
                    maps[b, k], expected, rtol=1e-7, atol=1e-7 * float(expected.abs().max())
                )
    finally:
        torch.set_default_dtype(default)


def test_values_are_those_of_the_network(standard_transformer, images):
    model = standard_transformer
    x = model.encode(images)
    expected = model(x)
    for gamma in (0.0, 0.25):
        with attnlrp._Rules(gamma, gamma):
            torch.testing.assert_close(model(x.clone().requires_grad_()), expected, rtol=1e-5, atol=1e-6)


class Attentive(nn.Module):
    """One block of attention, spelt in one of the ways people do."""

    def __init__(self, spelling):
        super().__init__()
        self.spelling = spelling
        self.patches, self.classifier = nn.Conv2d(3, 8, 4, 4), nn.Linear(8, 5)
        self.attention, self.norm = nn.MultiheadAttention(8, 2, batch_first=True), nn.LayerNorm(8)

    def encode(self, images):
        return images - 0.4

    def probability(self, logits):
        return logits.softmax(-1)

    def attend(self, x):
        if self.spelling == "module":
            return self.attention(x, x, x, need_weights=False)[0]
        qkv = F.linear(x, self.attention.in_proj_weight, self.attention.in_proj_bias)
        q, k, v = qkv.unflatten(-1, (3, 2, 4)).permute(2, 0, 3, 1, 4)
        match self.spelling:
            case "fused":
                mixed = F.scaled_dot_product_attention(q, k, v)
            case "matmul":
                mixed = torch.softmax(q * 0.5 @ k.transpose(-2, -1), -1) @ v
            case "bmm":
                q, k, v = (part.flatten(0, 1) for part in (q, k, v))
                mixed = torch.bmm(F.softmax(torch.bmm(q, k.mT) / 2, -1), v).unflatten(0, (-1, 2))
            case "einsum":
                mixed = torch.einsum("bhnm,bhmd->bhnd", (q @ k.mT / 2).softmax(-1), v)
            case "causal":
                mixed = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        return self.attention.out_proj(mixed.transpose(1, 2).flatten(2))

    def forward(self, encoded):
        x = self.patches(encoded).flatten(2).mT
        return self.classifier(F.gelu(x + self.attend(self.norm(x))).mean(1))


def attentive(spelling):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = Attentive(spelling).eval()
        nn.init.normal_(model.attention.in_proj_bias)
    return model


@pytest.mark.parametrize("params", [EPSILON, {}])
@pytest.mark.parametrize("spelling", ["module", "fused", "bmm"])
def test_attention_may_be_spelt_as_people_do(spelling, params, images, targets):
    expected = ATTNLRP(attentive("matmul"), images, targets, **params)
    maps = ATTNLRP(attentive(spelling), images, targets, **params)
    torch.testing.assert_close(maps, expected, rtol=1e-4, atol=1e-6 * float(expected.abs().max()))
    assert (expected != 0).any()


@pytest.mark.parametrize(
    ("spelling", "what"),
    [
        ("einsum", "computes Bmm, for which there is no rule"),
        ("causal", "has masked attention, or attention with dropout"),
    ],
)
def test_what_has_no_rule_is_refused(spelling, what, images, targets):
    message = (
        f"method 'attnlrp' has rules for transformers and 'Attentive' {what}; "
        "use ixg, intgrad, gradcam or, for CNNs, lrp"
    )
    with pytest.raises(IncompatibleError, match=f"^{re.escape(message)}$"):
        ATTNLRP(attentive(spelling), images, targets)


def test_a_network_without_attention_is_refused(standard, images, targets):
    with pytest.raises(IncompatibleError, match=r"^method 'attnlrp' .* 'ToyNetwork' has no attention; "):
        ATTNLRP(standard, images, targets)


def test_b_cos_networks_are_refused(bcos_transformer, images, targets):
    message = "method 'attnlrp' has rules for standard layers and 'BcosSimpleViT' is a B-cos network; use bcos"
    with pytest.raises(IncompatibleError, match=f"^{re.escape(message)}$"):
        ATTNLRP(bcos_transformer, images, targets)


def test_a_negative_gamma_is_refused(standard_transformer, images, targets):
    with pytest.raises(InputError, match=r"^attnlrp\.conv_gamma=-1\.0 is not allowed; use 0 or more$"):
        ATTNLRP(standard_transformer, images, targets, conv_gamma=-1.0)


@pytest.mark.parametrize("name", ["vitc_ti_patch1_14", "simple_vit_ti_patch16_224"])
def test_transformers_by_name_are_explained(name):
    """The stems with convolutions, group norms and GELU too."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = model_info(name).build("small", 5).eval()
    images = torch.rand(1, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    maps = ATTNLRP(model, images, torch.tensor([[1, 2]]))
    assert maps.isfinite().all()
    assert (maps != 0).any()
    assert not torch.equal(maps[0, 0], maps[0, 1])


@pytest.mark.parametrize("gamma", [0.05, 0.25, 100.0])
@pytest.mark.parametrize("with_bias", [True, False])
def test_gamma_is_zennit_s_rule(gamma, with_bias, images):
    zennit_rules = pytest.importorskip("zennit.rules", reason="zennit is not installed")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        conv, linear = nn.Conv2d(3, 6, 3, stride=2, padding=1, bias=with_bias), nn.Linear(24, 7, bias=with_bias)
    for layer, function in ((conv, partial(F.conv2d, stride=2, padding=1)), (linear, F.linear)):
        x = (images - 0.5).requires_grad_()
        output = attnlrp._with_gamma(function, x, layer.weight, layer.bias, gamma=gamma)
        torch.testing.assert_close(output, layer(x))
        direction = torch.linspace(-1, 1, output.numel()).view_as(output)
        ours = x * torch.autograd.grad(output, x, direction)[0]
        hook = zennit_rules.Gamma(gamma)
        handle = hook.register(layer)
        # zennit's backward passes carry relevance, ours gradients.
        theirs = torch.autograd.grad(layer(x), x, direction * output.detach())[0]
        handle.remove()
        torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-5 * float(theirs.abs().max()))


def test_the_rules_are_lxt_s(images):
    """Without layer norm, whose ε lxt does not let one choose."""
    lxt = pytest.importorskip("lxt.explicit.functional", reason="lxt is not installed")
    model = attentive("matmul").double().requires_grad_(False)
    x = model.patches(images.double()).flatten(2).mT.detach().requires_grad_()
    attention = model.attention
    with attnlrp._Rules(0, 0):
        output = x + model.attend(x)
    relevance = torch.linspace(-1, 1, output.numel(), dtype=torch.float64).view_as(output) * output.detach()
    ours = x * torch.autograd.grad(output, x, relevance / output.detach())[0]

    tiny = 1e-30
    qkv = lxt.linear_epsilon(x, attention.in_proj_weight, attention.in_proj_bias, tiny)
    q, k, v = qkv.unflatten(-1, (3, 2, 4)).permute(2, 0, 3, 1, 4)
    # Scaling by a constant passes relevance on.
    scores = lxt.mul2(lxt.matmul(q, k.mT, False, tiny), torch.tensor(0.5, dtype=torch.float64))
    mixed = lxt.matmul(lxt.softmax(scores, -1), v, False, tiny).transpose(1, 2).flatten(2)
    out = attention.out_proj
    theirs_output = lxt.add2(x, lxt.linear_epsilon(mixed, out.weight, out.bias, tiny), False, tiny)
    torch.testing.assert_close(theirs_output, output)
    theirs = torch.autograd.grad(theirs_output, x, relevance)[0]
    torch.testing.assert_close(ours, theirs, rtol=1e-6, atol=1e-8 * float(theirs.abs().max()))
