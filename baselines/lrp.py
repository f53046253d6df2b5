"""Layer-wise relevance propagation through CNNs, by the composites of zennit (extra `lrp`).

zennit gives each module that it knows a rule and does not see what a network computes between modules. Sums of
two branches and means, called as functions, are therefore handed to it as modules, with the rule it has for such
sums; batch norms are folded into the convolution whose output they read, as its canonizers do for networks whose
modules are listed in the order they run. Afterwards the graph of the forward pass is searched: what else happens
between modules and does not pass relevance on unchanged makes the method refuse, rather than give other maps.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib.util import find_spec
from typing import Any, Literal, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode

from bcos_eval.contract.explainer import INPUT_GRADIENTS, Need, Style, register_explainer
from bcos_eval.contract.maps import stack_targets
from bcos_eval.contract.network import Network, name_of
from bcos_eval.contract.network_state import forward_hooks, refusal_on_trial
from bcos_eval.contract.params import Param
from bcos_eval.errors import IncompatibleError

from .autograd_graph import has_gradient, node_name

Composite = Literal[
    "epsilon_plus_flat",
    "epsilon_plus",
    "epsilon_gamma_box",
    "epsilon_alpha2_beta1",
    "epsilon_alpha2_beta1_flat",
]

_ADDITIONS = frozenset({torch.add, Tensor.add, Tensor.add_, Tensor.__add__, Tensor.__iadd__})
_MEANS = frozenset({torch.mean, Tensor.mean, F.avg_pool2d, F.adaptive_avg_pool2d})
# Operations that move, copy or repeat values, and two that pass relevance on as zennit's rules do: what a ReLU
# sets to zero has no relevance, and max pooling gives it to the place of the maximum. Names of torch's nodes.
_NEUTRAL = frozenset(
    {
        *(
            "Alias",
            "AsStrided",
            "Cat",
            "Clone",
            "Expand",
            "Identity",
            "Index",
            "Permute",
            "ReshapeAlias",
            "Select",
        ),
        *("Slice", "Split", "SplitWithSizes", "Squeeze", "Stack", "T", "ToCopy", "Transpose", "Unbind"),
        *("UnsafeSplit", "UnsafeView", "Unsqueeze", "View"),
        *("MaxPool2DWithIndices", "Relu"),
    }
)


@contextmanager
def _rules(model: Network, encoded: Tensor, composite: Composite) -> Iterator[Callable[[], Tensor]]:
    """Attach a composite to a network inside the block; what is yielded maps `encoded` to logits with their graph.

    Raises:
        IncompatibleError: If the network has attention; and in that pass, if something between the modules changes
            relevance, or if the network with folded norms is another function.
    """
    from zennit.rules import Norm

    root = cast("nn.Module", model)
    if any(isinstance(module, nn.MultiheadAttention) for module in model.modules()):
        # An activation to zennit, which would pass relevance through it token by token.
        raise IncompatibleError(_refusal_text(model, "has attention"))
    folds, logits = _folds(model, encoded[:1])
    rules = _composite(model, encoded, composite, folds)
    linear_calls = _LinearCalls(Norm())
    context: dict[Any, Any] = {}
    ruled = [module for name, module in root.named_modules() if rules.module_map(context, name, module)]
    made: list[Any] = []

    def passed() -> Tensor:
        with linear_calls, forward_hooks(ruled, lambda _module, _inputs, output: made.append(output.grad_fn)):
            found = model(encoded)
        foreign = _foreign_operation(found, {*made, *linear_calls.made})
        if foreign:
            raise IncompatibleError(_refusal_text(model, f"computes {foreign} between its layers"))
        # Half the digits: folded weights round differently.
        allowed = torch.finfo(logits.dtype).eps ** 0.5 * float(logits.abs().max())
        if float((found[:1].detach() - logits).abs().max()) > allowed:
            raise IncompatibleError(_refusal_text(model, "is another function with folded batch norms"))
        return found

    try:
        rules.register(root)
        yield passed
    finally:
        rules.remove()
        linear_calls.forget()


class _LinearCalls(TorchFunctionMode):
    """Hands sums of two branches and means, of the forward passes inside the block, to zennit as modules.

    Args:
        rule: The hook of such modules; copied.
    """

    def __init__(self, rule: Any) -> None:  # noqa: ANN401 - zennit has no types
        super().__init__()
        self._rule = rule
        self._hooks: list[Any] = []
        self._modules: list[nn.Module] = []
        self.made: list[Any] = []

    def forget(self) -> None:
        """Let go of all tensors."""
        for hook in self._hooks:
            hook.remove()
        self._hooks, self._modules, self.made = [], [], []

    def __torch_function__(
        self,
        func: Callable[..., Any],
        _types: object,
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:  # noqa: ANN401 - whatever the function gives
        """Call a function of torch."""
        named = dict(kwargs or {})
        if func in _ADDITIONS and len(args) == 2 and not named and all(map(has_gradient, args)):
            return self._ruled(lambda pair: pair.sum(-1), torch.stack(torch.broadcast_tensors(*args), -1))
        if func in _MEANS:
            x, *rest = args if args else (named.pop("input"),)
            if has_gradient(x):
                return self._ruled(lambda x: func(x, *rest, **named), x)
        return func(*args, **(kwargs or {}))

    def _ruled(self, function: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
        module, hook = _Called(function), self._rule.copy()
        hook.register(module)
        self._hooks.append(hook)
        self._modules.append(module)
        output: Tensor = module(x)
        self.made.append(output.grad_fn)
        return output


class _Called(nn.Module):
    """A function as a module."""

    def __init__(self, function: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self._function = function

    def forward(self, x: Tensor) -> Tensor:
        """Call it."""
        return self._function(x)


def _folds(model: Network, encoded: Tensor) -> tuple[list[tuple[list[str], str]], Tensor]:
    """Return which convolution, by name, feeds which batch norm directly; and the logits `(B, C)`."""
    modules = {name: one for name, one in model.named_modules() if isinstance(one, nn.Conv2d | nn.BatchNorm2d)}
    names: dict[nn.Module, str] = {module: name for name, module in modules.items()}
    outputs: list[tuple[Tensor, str]] = []  # kept, so that no other tensor takes their identity
    pairs: list[tuple[list[str], str]] = []
    runs: list[str] = []

    def see(module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        runs.append(names[module])
        if isinstance(module, nn.Conv2d):
            outputs.append((output, names[module]))
        elif isinstance(module, nn.BatchNorm2d) and module.affine and module.running_mean is not None:
            pairs.extend(([name], names[module]) for made, name in outputs if made is inputs[0])

    with torch.no_grad(), forward_hooks(modules.values(), see):
        logits = model(encoded)
    once = {name for name in modules if runs.count(name) == 1}
    return [pair for pair in pairs if {*pair[0], pair[1]} <= once], logits


def _composite(model: Network, encoded: Tensor, composite: Composite, folds: list[tuple[list[str], str]]) -> Any:  # noqa: ANN401 - zennit has no types
    from zennit.canonizers import NamedMergeBatchNorm
    from zennit.composites import COMPOSITES

    box = {}
    if composite == "epsilon_gamma_box":
        black = encoded.new_zeros(1, 3, *encoded.shape[-2:])
        box = {"low": model.encode(black), "high": model.encode(black + 1)}
    return COMPOSITES[composite](canonizers=[NamedMergeBatchNorm(folds)], **box)


def _foreign_operation(logits: Tensor, made_by_layers: set[Any]) -> str:
    """Return what changes relevance between modules that have a rule, by torch's name; "" if nothing does.

    Args:
        logits: With their graph.
        made_by_layers: The nodes that made the outputs of such modules. What they were made of, down to the
            identity that zennit puts before a module, is the module's own.
    """
    waiting = [(logits.grad_fn, False)]
    seen = set()
    while waiting:
        node, is_inside = waiting.pop()
        if node is None or (node, is_inside) in seen:
            continue
        seen.add((node, is_inside))
        name = node_name(node)
        is_inside = (is_inside or node in made_by_layers) and name != "Identity"
        if not is_inside and name not in _NEUTRAL and name != "AccumulateGrad":
            return name
        waiting.extend((source, is_inside) for source, _ in node.next_functions)
    return ""


def _refusal_text(model: Network, what: str) -> str:
    return (
        f"has rules for the layers of CNNs and '{name_of(model)}' {what}, where relevance would be passed on "
        "wrongly; use ixg, intgrad or gradcam"
    )


def _refusal(model: Network, params: Mapping[str, Param]) -> str | None:
    if find_spec("zennit") is None:
        return 'needs zennit, which is not installed; install it with `pip install "bcos-eval[lrp]"`'
    if getattr(model, "is_bcos", False):
        return _refusal_text(model, "is a B-cos network").replace("ixg, intgrad or gradcam", "bcos")

    def attempt(encoded: Tensor) -> None:
        with _rules(model, encoded, "epsilon_plus") as passed:
            passed()

    return refusal_on_trial(model, attempt)


LAYERS_WITH_RULES = Need("a standard CNN, and zennit", _refusal)


@register_explainer(
    "lrp",
    source="Bach et al., PLoS ONE 2015; composites of zennit, Anders et al. 2021",
    family="gradient",
    needs=(INPUT_GRADIENTS, LAYERS_WITH_RULES),
    aliases=("layerwise_relevance_propagation", "zennit"),
    style=Style("#332288", "-."),
)
def layerwise_relevance(
    model: Network, images: Tensor, targets: Tensor, *, composite: Composite = "epsilon_plus_flat"
) -> Tensor:
    """Return the relevance of each pixel for each target, summed over channels, signed, `(B, K, H, W)`.

    Relevance starts as the logit itself, so that what speaks for a class is positive whatever the logit's sign.
    It sums to the logit minus what biases and zennit's stabilisers take up. Batch norms that do not follow a
    convolution, as in DenseNets, pass it on unchanged, as zennit has it. One forward pass serves all targets.
    zennit keeps a copy of what enters each layer: ResNet-50 takes 4.6 GB for an image of 672×672.

    Args:
        model: A standard CNN.
        images: `(B, 3, H, W)` in [0, 1].
        targets: `(B, K)`.
        composite: Which rules: ε for linear layers; z⁺, γ (.25) or α = 2, β = 1 for convolutions; for the first
            of these the flat rule ("flat") or the one for pixels between black and white ("box").

    Raises:
        IncompatibleError: If zennit is missing, or the network computes something between its layers that would
            pass relevance on wrongly, such as products of features, functional activations or attention.
    """
    encoded = model.encode(images).detach().requires_grad_()
    try:
        with _rules(model, encoded, composite) as passed:
            return stack_targets(_relevances(passed(), encoded, targets), images)
    except IncompatibleError as error:
        raise IncompatibleError(f"method 'lrp' {error}") from error


def _relevances(logits: Tensor, encoded: Tensor, targets: Tensor) -> Iterator[Tensor]:
    """Yield maps `(B, H, W)` of one target after the other."""
    n_targets = targets.shape[1]
    for k in range(n_targets):
        wanted = targets[:, k : k + 1]
        start = torch.zeros_like(logits).scatter(1, wanted, logits.detach().gather(1, wanted))
        (relevance,) = torch.autograd.grad(logits, encoded, start, retain_graph=k + 1 < n_targets)
        yield relevance.sum(1)
