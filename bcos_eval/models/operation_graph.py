"""The operations of a network as a graph, if all of them have a B-cos form."""

from __future__ import annotations

import copy

from torch import fx, nn

from bcos_eval.errors import InputError

from .convert import is_convertible

# Functions and tensor methods by name, since fx sees the same operation under several objects.
ACTIVATION_CALLS = {
    "relu",
    "relu_",
    "relu6",
    "leaky_relu",
    "elu",
    "silu",
    "gelu",
    "hardswish",
    "hardtanh",
    "mish",
}
_LINEAR_CALLS = {
    "add",
    "adaptive_avg_pool2d",
    "avg_pool2d",
    "cat",
    "chunk",
    "concat",
    "contiguous",
    "dim",
    "dropout",
    "flatten",
    "floordiv",
    "getattr",
    "getitem",
    "mean",
    "mul",
    "permute",
    "reshape",
    "size",
    "split",
    "sub",
    "transpose",
    "unsqueeze",
    "view",
}
_N_SHOWN = 4
# How the description of a module begins, unlike that of a parameter or operation.
_MODULE = "module "


class _Tracer(fx.Tracer):
    """Sees the modules that have a B-cos form as a whole."""

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        return super().is_leaf_module(m, module_qualified_name) or is_convertible(m)


def trace_convertible(model: nn.Module) -> fx.GraphModule:
    """Return a copy of the model as a graph of convertible operations.

    Raises:
        InputError: If it cannot be traced, or naming what cannot be converted.
    """
    twin = copy.deepcopy(model).eval()
    if hasattr(twin, "transform_input"):
        setattr(twin, "transform_input", False)  # noqa: B010 - the Inceptions' own encoding; ours is [x, 1 − x]
    try:
        network = fx.GraphModule(twin, _Tracer().trace(twin))
    except (fx.proxy.TraceError, TypeError, ValueError, RuntimeError, NotImplementedError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise InputError(
            f"cannot convert {type(model).__name__}: its forward pass cannot be traced ({reason}); "
            "write it without decisions that depend on values"
        ) from error
    offenders = [_described(network, node) for node in network.graph.nodes if not _has_bcos_form(network, node)]
    if offenders:
        # Whole modules first: they say more than the operations around them.
        names = sorted(dict.fromkeys(offenders), key=lambda offender: not offender.startswith(_MODULE))
        more = f" and {len(names) - _N_SHOWN} more" if len(names) > _N_SHOWN else ""
        raise InputError(
            f"cannot convert {type(model).__name__}: no B-cos form for {', '.join(names[:_N_SHOWN])}{more}; "
            "convertible are convolutions, linear layers, norms, activations, pooling, sums and concatenations"
        )
    return network


def _has_bcos_form(network: fx.GraphModule, node: fx.Node) -> bool:
    if node.op == "call_module":
        return is_convertible(network.get_submodule(str(node.target)))
    if node.op == "get_attr":
        return all(call_name(user) in ("mul", "imul") for user in node.users)
    if node.op not in ("call_function", "call_method"):
        return True
    name = call_name(node)
    if name in ("mul", "imul"):
        return sum(operand.op != "get_attr" for operand in node.all_input_nodes) == 1
    if name in ("add", "iadd", "sub"):
        return len(node.args) == 2 and all(isinstance(operand, fx.Node) for operand in node.args)
    return name in _LINEAR_CALLS or name in ACTIVATION_CALLS or name == "max_pool2d"


def _described(network: fx.GraphModule, node: fx.Node) -> str:
    """Return the module that an operation belongs to, and the operation if it is not the module itself."""
    if node.op == "call_module":
        return f"{_MODULE}'{node.target}' ({type(network.get_submodule(str(node.target))).__name__})"
    operation = call_name(node)
    if node.op == "get_attr":
        owner, _, parameter = operation.rpartition(".")
        return f"parameter '{parameter}' of module '{owner}'" if owner else f"parameter '{parameter}'"
    owners = [name for name in node.meta.get("nn_module_stack", {}) if name]
    return f"'{operation}' in module '{owners[-1]}'" if owners else f"'{operation}' in its forward pass"


def call_name(node: fx.Node) -> str:
    """Return the name of the function, method or attribute that a node stands for."""
    return node.target if isinstance(node.target, str) else str(node.target.__name__)
