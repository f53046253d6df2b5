"""A frozen twin of a network that gives the same logits and input gradients with less work.

What a network in evaluation mode does again for every image or target is done once: filters get unit norm, the
scales of batch norms are absorbed into the convolutions beside them, filters are turned for the backward pass,
which runs channels-last. What remains of a B-cos layer's backward pass in explanation mode is one product with
one constant factor and one convolution.

Twins are kept as long as their network lives, and made anew when it has changed.
"""

from __future__ import annotations

import copy
import operator
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, fx, nn
from torch.nn.modules.batchnorm import _NormBase

from bcos_eval.bcos.explanation_mode import DynamicLinear
from bcos_eval.bcos.norms import BatchNormUncentred2d
from bcos_eval.bcos.transform import BcosConv2d
from bcos_eval.contract.network_state import exclusive

from .bcos import FrozenBcosConv2d
from .network_state import NetworkState
from .relu import ExactBatchNorm2d, ExactConv2d, ExactMaxPool2d, ExactReLU, batch_norm_scale

# Forward passes of others may do what a trace does not show: keep activations, count, draw.
_TRACEABLE_PACKAGES = frozenset({"torch", "torchvision", "bcos_eval"})
_HOOKS = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")
# What a forward pass may raise when it meets an fx.Proxy.
_TRACE_ERRORS = (
    fx.proxy.TraceError,
    AttributeError,
    LookupError,
    NameError,
    NotImplementedError,
    RuntimeError,
    TypeError,
    ValueError,
)
# Where gradients jump.
_JUMPS = ("relu", "maxpool", "max_pool", "hardswish", "hardsigmoid", "hardtanh", "amax")
_OUT_OF_PLACE: Mapping[object, Callable[..., object]] = {operator.iadd: operator.add, operator.imul: operator.mul}


@dataclass(frozen=True, slots=True)
class FrozenTwin:
    """A network with the logits and input gradients of another, up to rounding.

    Attributes:
        network: The twin; it follows `explanation_mode(network)`.
        memory_format: Layout of the input that it wants.
    """

    network: nn.Module
    memory_format: torch.memory_format


_TWINS: WeakKeyDictionary[nn.Module, tuple[NetworkState, FrozenTwin | None]] = WeakKeyDictionary()


def for_gradients(model: nn.Module, encoded: Tensor) -> tuple[nn.Module, Tensor]:
    """Return the network to differentiate, a frozen twin where there is one, and its input, requiring a gradient.

    Args:
        model: Maps network input to logits.
        encoded: Network input `(B, C, H, W)`; a detached copy is returned.
    """
    # What only checks and copies what goes in and out of a network has that network's twin.
    twin = frozen_twin(getattr(model, "network_within", model))
    if twin is None:
        return model, encoded.detach().requires_grad_()
    return twin.network, encoded.detach().contiguous(memory_format=twin.memory_format).requires_grad_()


def frozen_twin(model: nn.Module) -> FrozenTwin | None:
    """Return the twin of a network, or None where it would not help or its equality is not certain.

    There is none in training mode, with hooks, inside explanation mode or autocast, and off the CPU; for networks
    with modules from elsewhere than torch, torchvision and this package; for forward passes that cannot be
    traced; and where nothing can be fused (ViTs, B ≠ 2). The model is left as it is; a twin shares the modules
    that it takes over unchanged.
    """
    if not isinstance(model, nn.Module) or not _is_safe(model):
        return None
    with exclusive(model):
        state = NetworkState.of(model)
        known = _TWINS.get(model)
        if known is None or not known[0].equals(state):
            known = (state, _twin(model))
            _TWINS[model] = known
        return known[1]


def _is_safe(model: nn.Module) -> bool:
    tensors = (*model.parameters(), *model.buffers())
    return (
        not torch.is_autocast_enabled("cpu")
        and all(tensor.device.type == "cpu" for tensor in tensors)
        and all(map(_is_plain, (model, *model.modules())))
    )


def _is_plain(module: nn.Module) -> bool:
    return (
        not module.training
        and not (isinstance(module, DynamicLinear) and module.explaining)
        and type(module).__module__.partition(".")[0] in _TRACEABLE_PACKAGES
        and "forward" not in vars(module)
        and not any(getattr(module, hooks) for hooks in _HOOKS)
    )


class _Tracer(fx.Tracer):
    """Keeps modules whole that are fused or dynamic, and names all of them by number.

    Attributes:
        found: The modules of the graph by their names there.
    """

    def __init__(self) -> None:
        super().__init__()
        self.found: dict[str, nn.Module] = {}
        self._names: dict[int, str] = {}
        self._thread = threading.get_ident()

    def call_module(
        self, m: nn.Module, forward: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:  # noqa: ANN401 - as torch's
        """Record the call of a module; fx sees those of every thread, and of every network."""
        if threading.get_ident() != self._thread:
            return forward(*args, **kwargs)
        return super().call_module(m, forward, args, kwargs)

    def getattr(self, attr: str, attr_val: Any, parameter_proxy_cache: dict[str, Any]) -> Any:  # noqa: ANN401
        """Record the use of a parameter, likewise."""
        if threading.get_ident() != self._thread:
            return attr_val
        return super().getattr(attr, attr_val, parameter_proxy_cache)

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        """Return whether a module stays whole."""
        return isinstance(m, DynamicLinear | _NormBase) or super().is_leaf_module(m, module_qualified_name)

    def path_of_module(self, mod: nn.Module) -> str:
        """Return a module's name in the graph; networks may hide their modules' own names."""
        name = self._names.setdefault(id(mod), f"module_{len(self._names)}")
        self.found[name] = mod
        return name


def _twin(model: nn.Module) -> FrozenTwin | None:
    traced = _traced(model)
    if traced is None:
        return None
    graph, modules, tensors = traced
    kinds = {type(module) for module in modules.values()}
    jumps = any(_jumps(modules, node) for node in graph.nodes)
    if BcosConv2d in kinds and not jumps:
        n_fused = sum(_freeze_bcos(graph, modules, node) for node in list(graph.nodes))
        memory_format = torch.channels_last
    elif nn.ReLU in kinds and not any(issubclass(kind, DynamicLinear) for kind in kinds):
        n_fused = sum(_freeze_exactly(graph, modules, node) for node in list(graph.nodes))
        memory_format = torch.contiguous_format
    else:
        return None
    _keep_outputs(graph, modules)
    network = fx.GraphModule(tensors | modules, graph)
    _discard(network.graph)
    return FrozenTwin(network, memory_format) if n_fused else None


def _traced(model: nn.Module) -> tuple[fx.Graph, dict[str, nn.Module], dict[str, object]] | None:
    """Return the graph of a forward pass with its modules and tensors by name, or None."""
    tracer = _Tracer()
    before = set(vars(model))
    constants = {}
    try:
        graph = tracer.trace(model)
    except _TRACE_ERRORS:
        return None
    finally:
        # fx puts tensors that a forward pass makes there.
        constants = {name: vars(model).pop(name) for name in set(vars(model)) - before}
    return graph, tracer.found, {**constants, **dict(model.named_parameters()), **dict(model.named_buffers())}


def _freeze_bcos(graph: fx.Graph, modules: dict[str, nn.Module], node: fx.Node) -> bool:
    """Replace a B-cos convolution and the uncentred batch norms beside it by one layer, if they allow it."""
    layer = _module_of(modules, node)
    if not isinstance(layer, BcosConv2d) or layer.b != 2 or layer.max_out != 1 or not _has_zeros(layer.linear):
        return False
    after = _following_norm(graph, modules, node, BatchNormUncentred2d)
    before = _preceding_norm(graph, modules, node)
    scales = [None if norm is None else batch_norm_scale(norm) for norm in (after, before)]
    _replace(modules, node, FrozenBcosConv2d(layer, *scales))
    return True


def _freeze_exactly(graph: fx.Graph, modules: dict[str, nn.Module], node: fx.Node) -> bool:
    """Replace a layer of a ReLU network by one with the same forward pass; returns whether it is a convolution."""
    layer = _module_of(modules, node)
    if type(layer) is nn.Conv2d and _has_zeros(layer):
        _replace(modules, node, ExactConv2d(layer, _following_norm(graph, modules, node, nn.BatchNorm2d)))
        return True
    if type(layer) is nn.BatchNorm2d and layer.running_var is not None:
        _replace(modules, node, ExactBatchNorm2d(layer))
    elif type(layer) is nn.ReLU:
        _replace(modules, node, ExactReLU())
    elif type(layer) is nn.MaxPool2d and not layer.return_indices:
        _replace(modules, node, ExactMaxPool2d(layer))
    return False


def _following_norm(
    graph: fx.Graph, modules: dict[str, nn.Module], node: fx.Node, kind: type[nn.BatchNorm2d]
) -> nn.BatchNorm2d | None:
    """Take the batch norm that alone uses a node out of the graph."""
    if len(node.users) != 1:
        return None
    (user,) = node.users
    norm = _module_of(modules, user)
    if type(norm) is not kind or norm.running_var is None:
        return None
    user.replace_all_uses_with(node)
    graph.erase_node(user)
    return norm


def _preceding_norm(graph: fx.Graph, modules: dict[str, nn.Module], node: fx.Node) -> nn.BatchNorm2d | None:
    """Take the uncentred batch norm whose output a node alone uses out of the graph."""
    (before,) = node.all_input_nodes
    norm = _module_of(modules, before)
    if len(before.users) > 1 or type(norm) is not BatchNormUncentred2d or norm.running_var is None:
        return None
    before.replace_all_uses_with(before.all_input_nodes[0])
    graph.erase_node(before)
    return norm


def _replace(modules: dict[str, nn.Module], node: fx.Node, layer: nn.Module) -> None:
    # A name of its own: a module may run several times, beside different norms.
    node.target = f"frozen_{node.name}"
    modules[node.target] = layer


def _keep_outputs(graph: fx.Graph, modules: dict[str, nn.Module]) -> None:
    """Let nothing work in place: layers keep their outputs for the backward pass."""
    for node in graph.nodes:
        if node.op == "call_function":
            node.target = _OUT_OF_PLACE.get(node.target, node.target)
        if "inplace" in node.kwargs:
            node.update_kwarg("inplace", False)
        module = _module_of(modules, node)
        if module is not None and getattr(module, "inplace", False):
            modules[str(node.target)] = _out_of_place(module)


def _discard(graph: fx.Graph) -> None:
    """Empty the graph of a module that is compiled already: cycles of nodes are never collected."""
    for node in reversed(list(graph.nodes)):
        graph.erase_node(node)
    graph.owning_module = None


def _out_of_place(module: nn.Module) -> nn.Module:
    twin = copy.copy(module)
    setattr(twin, "inplace", False)  # noqa: B010 - not every module has it
    return twin


def _jumps(modules: Mapping[str, nn.Module], node: fx.Node) -> bool:
    module = _module_of(modules, node)
    if isinstance(module, BcosConv2d) and module.max_out > 1:
        return True
    operation = type(module).__name__ if module is not None else str(getattr(node.target, "__name__", node.target))
    return node.op.startswith("call") and any(jump in operation.lower() for jump in _JUMPS)


def _module_of(modules: Mapping[str, nn.Module], node: fx.Node) -> nn.Module | None:
    """Return the module that a node calls with one positional argument."""
    simple = node.op == "call_module" and len(node.args) == 1 and not node.kwargs
    return modules.get(str(node.target)) if simple else None


def _has_zeros(conv: nn.Conv2d) -> bool:
    return conv.padding_mode == "zeros" and not isinstance(conv.padding, str)
