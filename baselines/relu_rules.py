"""Methods that change how gradients pass ReLUs: guided backprop, its product with Grad-CAM, DeepLIFT.

They have to see every ReLU of a network, whether it is a module or a call of a function. Both are caught where
torch is called; afterwards the graph of the forward pass is searched for one that was not, as inside compiled or
scripted code, and the method refuses rather than give the map of another method.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode

from bcos_eval.bcos import gradients_by_target
from bcos_eval.contract.explainer import INPUT_GRADIENTS, Need, Style, register_explainer
from bcos_eval.contract.maps import stack_targets
from bcos_eval.contract.network import Network, device_of, name_of
from bcos_eval.contract.network_state import frozen
from bcos_eval.contract.params import Param
from bcos_eval.errors import IncompatibleError

from .autograd_graph import graph_nodes, with_gradient_of
from .gradcam import SPATIAL_FEATURES, grad_cam

# Below this difference to the reference a ReLU passes its plain gradient. Source: Captum's DeepLift.
_EPS = 1e-6
# Share of the logit's difference to the reference that DeepLIFT's sum may miss.
_SUM_TOLERANCE = 0.1

_POOL_CALLS = frozenset({F.max_pool2d, torch.max_pool2d})
_POOL_ARGUMENTS = ("input", "kernel_size", "stride", "padding", "dilation", "ceil_mode")
_RELU_CALLS = frozenset({torch.relu, torch.relu_, Tensor.relu, Tensor.relu_, F.relu})
_ALWAYS_IN_PLACE = frozenset({torch.relu_, Tensor.relu_})
_COMPILED = ("CompiledFunction", "DifferentiableGraph")


Rule = Callable[[Tensor], Tensor]
# From the input of a max pooling and the places of its maxima, in the flattened picture, to its output.
PoolRule = Callable[[Tensor, Tensor], Tensor]


class EveryReLU(TorchFunctionMode):
    """Replaces the ReLUs, and if asked the max poolings, of the forward passes inside the block.

    Args:
        rule: Maps the input of a ReLU to what takes the place of its output; called in the order of the pass.
        pool_rule: The same for max pooling.
    """

    def __init__(self, rule: Rule, pool_rule: PoolRule | None = None) -> None:
        super().__init__()
        self._rule = rule
        self._pool_rule = pool_rule

    def __torch_function__(
        self,
        func: Callable[..., object],
        _types: object,
        args: Sequence[object] = (),
        kwargs: Mapping[str, object] | None = None,
    ) -> object:
        """Call a function of torch, or the rule instead of a ReLU."""
        named = kwargs or {}
        if func in _POOL_CALLS and self._pool_rule is not None:
            stated: dict[str, Any] = {**dict(zip(_POOL_ARGUMENTS, args, strict=False)), **named}
            stated.pop("return_indices", None)  # False: the calls that return them have another name
            places = F.max_pool2d_with_indices(**stated)[1]
            return self._pool_rule(stated["input"], places)
        if func not in _RELU_CALLS:
            return func(*args, **named)
        x = cast("Tensor", args[0] if args else named["input"])
        in_place = func in _ALWAYS_IN_PLACE or named.get("inplace") or (func is F.relu and True in args[1:])
        output = self._rule(x)
        # Code that works in place may go on with the tensor it gave.
        return x.copy_(output) if in_place else output


def _refusal_without_relu(model: Network, _params: Mapping[str, Param]) -> str | None:
    if any(isinstance(module, nn.ReLU) for module in model.modules()) or _calls_relu(model):
        return None
    return f"changes how gradients pass ReLUs and '{name_of(model)}' has none; use grad or ixg"


class _FoundError(Exception):
    """A ReLU was called."""


def _calls_relu(model: Network) -> bool:
    """Return whether a forward pass calls a ReLU as a function; it ends at the first one."""
    side = getattr(model, "input_size", None)
    if side is None or getattr(model, "is_bcos", False):
        return False

    def stop(_x: Tensor) -> Tensor:
        raise _FoundError

    try:
        with frozen(model), torch.no_grad(), EveryReLU(stop):
            model(model.encode(torch.zeros(1, 3, side, side, device=device_of(model))))
    except _FoundError:
        return True
    return False


RELUS = Need("ReLUs", _refusal_without_relu)


def _require_all_seen(model: Network, logits: Tensor, known: Sequence[Any]) -> None:
    """Raise if the graph of some logits holds a ReLU that is not known, or code that may hide one.

    Raises:
        IncompatibleError: If it does.
    """
    known_nodes = set(known)
    for node in graph_nodes(logits):
        name = node.name()
        is_opaque = isinstance(node, torch.autograd.function.BackwardCFunction)
        if is_opaque or any(mark in name for mark in _COMPILED) or ("Relu" in name and node not in known_nodes):
            raise IncompatibleError(
                f"'{name_of(model)}' has ReLUs that cannot be seen, or operations that may hide some ({name}), as "
                "compiled and scripted networks have; give the network as it was before, or use ixg or intgrad"
            )


def guided_gradients(model: Network, encoded: Tensor, targets: Tensor, *, absolute: bool = False) -> Tensor:
    """Return input gradients of which ReLUs pass the positive part only, summed over channels, `(B, K, H, W)`.

    Args:
        model: Frozen.
        encoded: `(B, C, H, W)`.
        targets: `(B, K)`.
        absolute: Whether absolute values are summed.

    Raises:
        IncompatibleError: If not every ReLU can be seen.
    """
    known = []

    def guided(x: Tensor) -> Tensor:
        output = x.relu()
        if output.requires_grad:
            known.append(output.grad_fn)
            output.register_hook(lambda gradient: gradient.clamp(min=0))
        return output

    x = encoded.detach().requires_grad_()
    with EveryReLU(guided):
        logits = model(x)
    _require_all_seen(model, logits, known)
    gradients = gradients_by_target(logits, x, targets)
    return stack_targets(((g.abs() if absolute else g).sum(1) for g in gradients), encoded)


@register_explainer(
    "gb",
    source="Springenberg et al., ICLR workshop 2015; signed, as in the B-cos papers",
    family="gradient",
    needs=(INPUT_GRADIENTS, RELUS),
    aliases=("guided_backprop", "guided_backpropagation"),
    style=Style("#332288", ":"),
    shares_passes=True,
)
def guided_backprop(model: Network, images: Tensor, targets: Tensor) -> Tensor:
    """Return guided gradients summed over input channels, signed, `(B, K, H, W)`.

    Raises:
        IncompatibleError: If not every ReLU can be seen.
    """
    return guided_gradients(model, model.encode(images), targets)


@register_explainer(
    "gb_absolute",
    source="Springenberg et al., ICLR workshop 2015; absolute, as in Rao et al. 2022",
    family="gradient",
    needs=(INPUT_GRADIENTS, RELUS),
    aliases=("gb/absolute",),
    style=Style("#332288", "--"),
    shares_passes=True,
)
def absolute_guided_backprop(model: Network, images: Tensor, targets: Tensor) -> Tensor:
    """Return absolute guided gradients summed over input channels, `(B, K, H, W)`, non-negative."""
    return guided_gradients(model, model.encode(images), targets, absolute=True)


@register_explainer(
    "guided_gradcam",
    source="Selvaraju et al., ICCV 2017",
    family="cam",
    needs=(INPUT_GRADIENTS, RELUS, SPATIAL_FEATURES),
    aliases=("guided_grad_cam",),
    style=Style("#999933", "-"),
    shares_passes=True,
)
def guided_grad_cam(model: Network, images: Tensor, targets: Tensor, *, layer: str = "") -> Tensor:
    """Return guided gradients times Grad-CAM (nearest upsampling), summed over channels, `(B, K, H, W)`.

    A target whose Grad-CAM is zero gets a zero map.
    """
    return guided_backprop(model, images, targets) * grad_cam(model, images, targets, layer=layer)


@register_explainer(
    "deeplift",
    source="Shrikumar et al., ICML 2017, rescale rule",
    family="gradient",
    needs=(INPUT_GRADIENTS, RELUS),
    aliases=("deep_lift",),
    style=Style("#332288", "-"),
)
def deep_lift(model: Network, images: Tensor, targets: Tensor) -> Tensor:
    """Return DeepLIFT contributions against the encoded zero, summed over channels, `(B, K, H, W)`.

    ReLUs pass the slope of their chord between reference and image. Max pooling passes a rise of its output to
    the place of the image's maximum, a fall to that of the reference's, as a share of that place's change. All
    else passes its plain gradient. The maps sum to the logit minus the logit of the encoded zero if nothing else
    is non-linear. The reference and the images each take one forward pass for all targets.

    Raises:
        IncompatibleError: If not every ReLU can be seen, or if the maps miss that sum by more than a tenth because
            of what else is not linear.
    """
    encoded = model.encode(images)
    inputs: list[Tensor] = []
    pooled: list[tuple[Tensor, Tensor]] = []

    def record(x: Tensor) -> Tensor:
        inputs.append(x.clone())
        return x.relu()

    def record_pool(x: Tensor, places: Tensor) -> Tensor:
        pooled.append((x.clone(), places))
        return _at(x, places)

    with torch.no_grad(), EveryReLU(record, record_pool):
        reference = model(torch.zeros_like(encoded[:1]))
    references, pooled_references = iter(inputs), iter(pooled)

    def rescaled(x: Tensor) -> Tensor:
        chord = _relu_slope(x.detach(), next(references)) * x
        # The value of the ReLU with the gradient of its chord.
        return with_gradient_of(chord, x.detach().relu())

    def rescaled_pool(x: Tensor, places: Tensor) -> Tensor:
        before, places_before = next(pooled_references)
        before, places_before = before.expand_as(x), places_before.expand_as(places)
        maxima, maxima_before = _at(x, places), _at(before, places_before)
        rise = maxima.detach() - maxima_before
        # There the input changes by at least as much as the maximum does, in the same direction. Of equal maxima
        # of the reference, as in a constant window, the image's decides.
        is_at_maximum = (rise >= 0) | (_at(before, places) == maxima_before)
        decisive = torch.where(is_at_maximum, places, places_before)
        value = _at(x, decisive)
        change = value.detach() - _at(before, decisive)
        chord = torch.where(change == 0, 1, rise / change.masked_fill(change == 0, 1)) * value
        return with_gradient_of(chord, maxima)

    x = encoded.detach().requires_grad_()
    with EveryReLU(rescaled, rescaled_pool):
        logits = model(x)
    _require_all_seen(model, logits, ())
    multipliers = gradients_by_target(logits, x, targets)
    maps = stack_targets(((encoded * by_input).sum(1) for by_input in multipliers), images)
    _check_sum(model, maps, (logits - reference).detach().gather(1, targets))
    return maps


def _at(x: Tensor, places: Tensor) -> Tensor:
    """Values of `x` `(B, C, H, W)` at places of its flattened pictures, in the shape of the places."""
    return x.flatten(2).gather(2, places.flatten(2)).reshape(places.shape)


def _relu_slope(x: Tensor, reference: Tensor) -> Tensor:
    """Return the slope of the ReLU's chord between reference and input."""
    difference = x - reference
    flat = difference.abs() < _EPS
    chord = (x.relu() - reference.relu()) / difference.masked_fill(flat, 1)
    return torch.where(flat, (x > 0).to(x), chord)


def _check_sum(model: Network, maps: Tensor, differences: Tensor) -> None:
    """Raise if maps `(B, K, H, W)` are far from summing to the logits' differences `(B, K)` to the reference."""
    sums = maps.sum((-2, -1))
    missed = (sums - differences).abs()
    allowed = _SUM_TOLERANCE * differences.abs().clamp_min(1)
    if bool((missed > allowed).any()):
        worst = int((missed - allowed).flatten().argmax())
        raise IncompatibleError(
            f"the contributions of deeplift sum to {float(sums.flatten()[worst]):.3g} where the logit of "
            f"'{name_of(model)}' differs by {float(differences.flatten()[worst]):.3g} from the reference's: the "
            "network has other non-linear parts than ReLUs; use intgrad"
        )
