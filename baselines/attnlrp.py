"""AttnLRP: layer-wise relevance propagation through vision transformers.

The authors' library (lxt) replaces methods of torch's own classes for the whole process and knows particular
model files, so the paper's rules are applied here to calls of torch, inside one forward pass: with each rule
written as a changed gradient, relevance is the input times that gradient. Afterwards the graph of the pass is
searched for operations that no rule covers, and the method refuses if there are any.

| operation | rule of the paper | its gradient |
| --- | --- | --- |
| linear layer, convolution, sum, mean | ε → 0 (equation 8), or γ | the plain one, or that of γ |
| softmax | Taylor expansion at the input (proposition 3.1) | the plain one |
| product of two features | shared evenly (propositions 3.2 and 3.3) | half the plain one |
| layer norm | identity for the division (proposition 3.4) | deviation held constant |
| activation | identity (equation 9) | output / input |
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode

from bcos_eval.bcos import gradients_by_target
from bcos_eval.contract.explainer import INPUT_GRADIENTS, Need, Style, register_explainer
from bcos_eval.contract.maps import stack_targets
from bcos_eval.contract.network import Network, name_of
from bcos_eval.contract.network_state import refusal_on_trial
from bcos_eval.contract.params import NonNegative, Param
from bcos_eval.errors import IncompatibleError

from .autograd_graph import graph_nodes, has_gradient, node_name, with_gradient_of

# Among the values that the authors' example for torchvision's ViT-B/16 tries.
_CONV_GAMMA = 0.25
_LINEAR_GAMMA = 0.05
# Added to what γ divides by, in the direction of its sign. Source: zennit's rules.
_STABILISER = 1e-6

_PRODUCTS: Mapping[Callable[..., Any], Callable[..., Tensor]] = {
    **dict.fromkeys((torch.matmul, Tensor.matmul, Tensor.__matmul__, torch.bmm, Tensor.bmm), torch.matmul),
    **dict.fromkeys((torch.mul, torch.multiply, Tensor.mul, Tensor.multiply, Tensor.__mul__), torch.mul),
}
_ACTIVATIONS = frozenset(
    {
        *(F.celu, F.elu, F.gelu, F.hardswish, F.hardtanh, F.leaky_relu, F.mish, F.relu, F.relu6, F.selu, F.silu),
        *(torch.relu, Tensor.relu, torch.sigmoid, Tensor.sigmoid, torch.tanh, Tensor.tanh),
    }
)
# What the plain gradient is the rule of, by names of torch's nodes: linear whatever they are given, …
_LINEAR = frozenset(
    {
        *("AccumulateGrad", "AdaptiveAvgPool2D", "Add", "Alias", "AsStrided", "AvgPool2D", "Cat", "Clone"),
        *("ConstantPadNd", "CudnnBatchNorm", "Expand", "Index", "Mean", "NativeBatchNorm", "Neg", "Permute"),
        *("Repeat", "ReshapeAlias", "Roll", "Select", "Slice", "Split", "SplitWithSizes", "Squeeze", "Stack"),
        *("Sub", "Sum", "T", "ToCopy", "Transpose", "Unbind", "UnsafeView", "Unsqueeze", "View"),
    }
)
# … and linear if one factor is constant.
_LINEAR_IN_ONE = frozenset({"Addmm", "Bmm", "Convolution", "Div", "Mm", "Mul"})
_SOFTMAX = "Softmax"
Layer = Callable[[Tensor, Tensor, Tensor | None], Tensor]


class _Rules(TorchFunctionMode):
    """Gives the functions called inside the block the gradients of AttnLRP's rules, and leaves their values.

    Args:
        conv_gamma: γ of convolutions; 0 is the ε rule.
        linear_gamma: γ of linear layers, likewise.
    """

    def __init__(self, conv_gamma: float, linear_gamma: float) -> None:
        super().__init__()
        self._conv_gamma, self._linear_gamma = conv_gamma, linear_gamma

    def __torch_function__(
        self,
        func: Callable[..., Any],
        _types: object,
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:  # noqa: ANN401 - whatever the function gives
        """Call a function of torch, or its rule."""
        named = dict(kwargs or {})
        if func in _PRODUCTS and len(args) == 2 and not named:
            return _product(_PRODUCTS[func], *args)
        if func in _ACTIVATIONS:
            x, *rest = args if args else (named.pop("input"),)
            return _activation(lambda x: func(x, *rest, **named), x)
        match func:
            case F.linear:
                return self._linear(*args, **named)
            case F.conv2d:
                x, weight, *rest = args
                bias = rest.pop(0) if rest else named.pop("bias", None)
                return _with_gamma(
                    lambda x, w, b: F.conv2d(x, w, b, *rest, **named), x, weight, bias, gamma=self._conv_gamma
                )
            case F.layer_norm:
                return _layer_norm(*args, **named)
            case F.group_norm:
                return _group_norm(*args, **named)
            case F.scaled_dot_product_attention:
                return _attention(*args, **named)
            case F.multi_head_attention_forward:
                return self._multi_head(inspect.signature(func).bind(*args, **named)), None
        return func(*args, **(kwargs or {}))

    def _linear(self, x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
        return _with_gamma(F.linear, x, weight, bias, gamma=self._linear_gamma)

    def _multi_head(self, bound: inspect.BoundArguments) -> Tensor:
        """Return what torch's attention layer gives for tokens `(N, B, dim)`.

        Raises:
            _NoRuleError: If it is masked, or no attention of tokens to themselves.
        """
        bound.apply_defaults()
        given = bound.arguments
        tokens = given["query"]
        unusual = (
            "key_padding_mask",
            "attn_mask",
            "bias_k",
            "bias_v",
            "add_zero_attn",
            "use_separate_proj_weight",
        )
        is_plain = tokens.dim() == 3 and given["key"] is tokens and given["value"] is tokens
        if not is_plain or any(given[key] is not None and given[key] is not False for key in unusual):
            raise _NoRuleError("has an nn.MultiheadAttention with masks or several inputs")
        projected = self._linear(tokens, given["in_proj_weight"], given["in_proj_bias"])
        heads = projected.unflatten(-1, (3, given["num_heads"], -1)).permute(2, 1, 3, 0, 4)  # (3, B, heads, N, d)
        mixed = _attention(*heads).permute(2, 0, 1, 3).flatten(2)
        return self._linear(mixed, given["out_proj_weight"], given["out_proj_bias"])


def _product(multiply: Callable[..., Any], a: Any, b: Any) -> Any:  # noqa: ANN401 - numbers too
    if not (has_gradient(a) and has_gradient(b)):
        return multiply(a, b)
    # Written so that no product of two features is left in the graph; the halves are equal.
    return (multiply(a, b.detach()) + multiply(a.detach(), b)) / 2


def _activation(function: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
    if not has_gradient(x):
        return function(x)
    before = x.detach()
    output = function(before.clone())  # which may be changed in place
    return with_gradient_of(torch.where(before == 0, 0, output / before) * x, output)


def _with_gamma(layer: Layer, x: Tensor, weight: Tensor, bias: Tensor | None, *, gamma: float) -> Tensor:
    """Return a linear layer's output with the gradient of the generalised γ rule.

    Outputs above zero share their relevance by what speaks for them, `x⁺ (w + γ w⁺) + x⁻ (w + γ w⁻)`, those below
    by what speaks against. A bias takes its share. Source: Andéol et al. 2021, as in zennit.
    """
    value = layer(x, weight, bias)
    if gamma == 0 or not has_gradient(x):
        return value
    z = value.detach()
    is_positive = x.detach() > 0
    chord = torch.zeros_like(z)
    for sign in (1, -1):
        favoured, other = weight + gamma * _part(weight, sign), weight + gamma * _part(weight, -sign)
        shift = None if bias is None else bias + gamma * _part(bias, sign)
        contributions = layer(x * is_positive, favoured, shift) + layer(x * ~is_positive, other, None)
        total = contributions.detach()
        total = total + torch.where(total < 0, -_STABILISER, _STABILISER)
        chord = chord + torch.where(sign * z > 0, z / total, 0) * contributions
    return with_gradient_of(chord, value)


def _part(weight: Tensor, sign: int) -> Tensor:
    """Return the positive part, or for −1 the negative one."""
    return weight.clamp(min=0) if sign > 0 else weight.clamp(max=0)


def _layer_norm(
    x: Tensor,
    normalized_shape: Sequence[int],
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    eps: float = 1e-5,
) -> Tensor:
    dims = tuple(range(-len(normalized_shape), 0))
    variance = x.detach().var(dims, correction=0, keepdim=True)
    normed = (x - x.mean(dims, keepdim=True)) / (variance + eps).sqrt()
    normed = normed if weight is None else normed * weight
    chord = normed if bias is None else normed + bias
    return with_gradient_of(chord, F.layer_norm(x.detach(), normalized_shape, weight, bias, eps))


def _group_norm(
    x: Tensor, num_groups: int, weight: Tensor | None = None, bias: Tensor | None = None, eps: float = 1e-5
) -> Tensor:
    groups = x.unflatten(1, (num_groups, -1))
    normed = _layer_norm(groups, groups.shape[2:], eps=eps).flatten(1, 2)
    shape = (-1, *[1] * (x.dim() - 2))
    normed = normed if weight is None else normed * weight.view(shape)
    return normed if bias is None else normed + bias.view(shape)


def _attention(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attn_mask: Tensor | None = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    scale: float | None = None,
    enable_gqa: bool = False,
) -> Tensor:
    """Return `softmax(scale · Q Kᵀ + mask) V`; the mask a constant that is added."""
    if dropout_p or is_causal or enable_gqa or (attn_mask is not None and attn_mask.dtype == torch.bool):
        raise _NoRuleError("has masked attention, or attention with dropout")
    scores = _product(torch.matmul, query, key.mT) * (query.shape[-1] ** -0.5 if scale is None else scale)
    weights = (scores if attn_mask is None else scores + attn_mask).softmax(-1)
    return _product(torch.matmul, weights, value)


def _uncovered(logits: Tensor) -> str:
    """Return that there is no attention in the graph of some logits, or what no rule covers, or ""."""
    names, uncovered = set(), ""
    for node in graph_nodes(logits):
        name = node_name(node)
        n_features = sum(source is not None for source, _ in node.next_functions)
        names.add(name)
        if name not in (_LINEAR | {_SOFTMAX}) and not (name in _LINEAR_IN_ONE and n_features < 2):
            uncovered = f"computes {name}, for which there is no rule"
    return uncovered if _SOFTMAX in names else "has no attention"


def _logits(model: Network, encoded: Tensor, conv_gamma: float, linear_gamma: float) -> Tensor:
    """Return logits whose gradients are those of the rules.

    Raises:
        IncompatibleError: If something has no rule.
    """
    try:
        with _Rules(conv_gamma, linear_gamma):
            logits = model(encoded)
        if what := _uncovered(logits):
            raise _NoRuleError(what)
    except _NoRuleError as error:
        raise IncompatibleError(
            f"has rules for transformers and '{name_of(model)}' {error}; "
            "use ixg, intgrad, gradcam or, for CNNs, lrp"
        ) from error
    return logits


class _NoRuleError(Exception):
    """Something that has no rule."""


def _refusal(model: Network, _params: Mapping[str, Param]) -> str | None:
    if getattr(model, "is_bcos", False):
        return f"has rules for standard layers and '{name_of(model)}' is a B-cos network; use bcos"
    return refusal_on_trial(model, lambda encoded: _logits(model, encoded, 0, 0))


OPERATIONS_WITH_RULES = Need("a standard transformer", _refusal)


@register_explainer(
    "attnlrp",
    source="Achtibat et al., ICML 2024; γ .25 and .05, of those that the authors' example for ViT-B/16 tries",
    family="attention",
    needs=(INPUT_GRADIENTS, OPERATIONS_WITH_RULES),
    aliases=("attn_lrp", "lxt"),
    style=Style("#E69F00", ":"),
)
def attention_relevance(
    model: Network,
    images: Tensor,
    targets: Tensor,
    *,
    conv_gamma: NonNegative = _CONV_GAMMA,
    linear_gamma: NonNegative = _LINEAR_GAMMA,
) -> Tensor:
    """Return the relevance of each pixel for each target, summed over channels, signed, `(B, K, H, W)`.

    Relevance starts as the logit itself. Biases, position codes and the softmax's own value take their share of
    it, so that maps do not sum to the logit. With γ = 0 everywhere the maps are noisy, as those of gradients are.
    One forward pass serves all targets.

    Args:
        model: A standard vision transformer, with torch's attention, this suite's or timm's.
        images: `(B, 3, H, W)` in [0, 1].
        targets: `(B, K)`.
        conv_gamma: How much positive contributions to convolutions are favoured; 0 for the ε rule.
        linear_gamma: The same for linear layers, those of attention included.

    Raises:
        IncompatibleError: If the network computes something that has no rule.
    """
    x = model.encode(images).detach().requires_grad_()
    try:
        logits = _logits(model, x, conv_gamma, linear_gamma)
    except IncompatibleError as error:
        raise IncompatibleError(f"method 'attnlrp' {error}") from error
    gradients = gradients_by_target(logits, x, targets)
    return stack_targets(((x.detach() * by_input).sum(1) for by_input in gradients), images)
