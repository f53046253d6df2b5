"""Turn any CNN of torchvision's kind into a B-cos network."""

from __future__ import annotations

import operator
from collections.abc import Iterator
from typing import cast

from torch import Tensor, fx, nn
from torch.nn import functional as F

from bcos_eval.bcos import BcosConv2d, LogitLayer, default_logit_bias
from bcos_eval.errors import InputError, unknown_name

from .classifier import Classifier, Preprocessing
from .convert import ACTIVATIONS, NORM_TYPES, Conversion
from .form import NORMS, Norm
from .operation_graph import ACTIVATION_CALLS, call_name, trace_convertible

_RECTIFIER_CALLS = ("relu", "relu_", "relu6")
_MAX_POOL_ARGUMENTS = ("input", "kernel_size", "stride", "padding", "dilation", "ceil_mode")


def bcosify(
    model: nn.Module,
    *,
    b: float = 2.0,
    norm: Norm = "batch_uncentred",
    carry_over: bool = False,
    keep_activations: bool = False,
) -> BcosifiedNetwork:
    """Return the B-cos form of a CNN; the network given is left as it is.

    Convolutions and linear layers become B-cos transforms, biases, activations and max pooling go (average pooling
    takes its place), batch norms are replaced, the stem takes `[x, 1 − x]`, and the classifier moves before global
    pooling. Squeeze-and-excitation stays, as a dynamic weight.

    Args:
        model: Maps images `(B, 3, H, W)` to logits; its operations must not depend on the values it sees.
        b: Exponent B ≥ 1.
        norm: What replaces batch norm.
        carry_over: Keep the weights' directions instead of drawing new ones; a stem's filters are halved and
            mirrored for the inverse channels.
        keep_activations: Keep rectifiers and other activations, as factors that depend on the input, instead of
            removing them. Trained weights need them; the contributions still add up to the logits.

    Raises:
        InputError: Naming the modules or operations that have no B-cos form; if activations that are called as
            functions, other than rectifiers, are to be kept.

    Source: Böhle et al., TPAMI 2024, section 3.2; Arya et al., B-cosification (NeurIPS 2024).

    Example:
        >>> import torch
        >>> from torchvision.models import resnet18
        >>> network = bcosify(resnet18(num_classes=10))
        >>> network(network.encode(torch.rand(1, 3, 64, 64))).shape
        torch.Size([1, 10])
    """
    if norm not in NORMS:
        raise unknown_name("norm", norm, NORMS)
    network = trace_convertible(model)
    has_norms = any(isinstance(module, NORM_TYPES) for module in network.modules())
    conversion = Conversion(
        b=b,
        norm=NORMS[norm],
        norm_after=not has_norms,
        carry_over=carry_over,
        keep_activations=keep_activations,
    )
    side, tail = _cut_before_classifier(network)
    _convert_graph(network, conversion)
    classifier = nn.Sequential(*_convert_tail(tail, side, conversion))
    converted = BcosifiedNetwork(network, classifier, type(model).__name__)
    given = getattr(model, "preprocessing", None)
    if isinstance(given, Preprocessing):
        converted.preprocessing = given
    return converted


class BcosifiedNetwork(Classifier):
    """A converted network: `features`, a classifier for every position, global average pooling, logit bias."""

    def __init__(self, features: nn.Module, classifier: nn.Sequential, name: str) -> None:
        num_classes = _n_outputs(classifier)
        super().__init__(is_bcos=True, num_classes=num_classes, input_size=224)
        self.name = f"bcos_{name}"
        self.features = features
        self.classifier = classifier
        self.logit_layer = LogitLayer(default_logit_bias(num_classes))

    def head(self, features: Tensor) -> Tensor:
        """Classify every position, then pool."""
        return self.logit_layer(F.adaptive_avg_pool2d(self.classifier(features), 1).flatten(1))


def _cut_before_classifier(network: fx.GraphModule) -> tuple[int, list[nn.Module]]:
    """Make the graph end before the classifier; returns the side it pools to and the classifier's modules.

    The classifier begins with global pooling, or, where nothing that follows has weights, with the convolution
    before it.

    Raises:
        InputError: If the graph does not end in global pooling and a plain sequence of modules.
    """
    output = [*network.graph.nodes][-1]  # reversed nodes are no iterator in every version of PyTorch
    side = 0
    modules: list[nn.Module] = []
    cut: list[fx.Node] = []
    for node in _chain_before(output):
        pooled = _pooled_side(network, node)
        if node.op == "call_module" and not pooled:
            modules.insert(0, network.get_submodule(str(node.target)))
        side = side or pooled
        cut.append(node)
        if side and any(isinstance(module, nn.Linear | nn.Conv2d) for module in modules):
            break
    else:
        raise InputError("cannot convert a network without global average pooling before or after its classifier")
    output.args = (cut[-1].args[0],)
    for node in cut:
        network.graph.erase_node(node)
    return side, modules


def _chain_before(output: fx.Node) -> Iterator[fx.Node]:
    """Yield the nodes before the output, backwards, as long as each feeds only the next."""
    (node,) = output.all_input_nodes
    while len(node.users) == 1 and len(node.all_input_nodes) == 1:
        yield node
        (node,) = node.all_input_nodes


def _pooled_side(network: fx.GraphModule, node: fx.Node) -> int:
    """Return the side that a pooling node averages to, 0 for other nodes."""
    size: object = 0
    if node.op == "call_module":
        module = network.get_submodule(str(node.target))
        size = module.output_size if isinstance(module, nn.AdaptiveAvgPool2d) else 0
    elif node.op in ("call_function", "call_method"):
        name = call_name(node)
        if name == "adaptive_avg_pool2d":
            size = node.kwargs.get("output_size", node.args[-1])
        elif name == "mean":
            size = 1
    return int(size[0]) if isinstance(size, tuple | list) else cast("int", size)


def _convert_graph(network: fx.GraphModule, conversion: Conversion) -> None:
    consumers = {str(node.target): node for node in network.graph.nodes if node.op == "call_module"}
    for name, node in consumers.items():
        network.add_submodule(name, _converted(network.get_submodule(name), node, conversion))
    for node in list(network.graph.nodes):
        if node.op in ("call_function", "call_method"):
            _convert_call(network.graph, node, conversion)
    network.delete_all_unused_submodules()
    network.recompile()


def _converted(module: nn.Module, node: fx.Node, conversion: Conversion) -> nn.Module:
    if isinstance(module, nn.Conv2d):
        converted = conversion.convolution(module, is_stem=node.all_input_nodes[0].op == "placeholder")
        if conversion.norm_after:
            return nn.Sequential(converted, conversion.batch_norm(nn.BatchNorm2d(module.out_channels)))
        return converted
    return conversion.counterpart(module)


def _convert_call(graph: fx.Graph, node: fx.Node, conversion: Conversion) -> None:
    name = call_name(node)
    if name in ACTIVATION_CALLS and conversion.keep_activations:
        if name not in _RECTIFIER_CALLS:
            raise InputError(
                f"cannot keep the activation '{name}', which is called as a function; make it a module, or "
                "convert without keep_activations"
            )
        node.op, node.target, node.args, node.kwargs = "call_function", F.relu, node.args[:1], {}
    elif name in ACTIVATION_CALLS:
        node.replace_all_uses_with(node.all_input_nodes[0])
        graph.erase_node(node)
    elif name == "iadd":
        # What was a rectified copy may now be a tensor that others still need.
        node.target = operator.add
    elif name == "max_pool2d":
        given = dict(zip(_MAX_POOL_ARGUMENTS, node.args, strict=False)) | node.kwargs
        node.target = F.avg_pool2d
        node.args = (given["input"], given["kernel_size"])
        node.kwargs = {key: given[key] for key in ("stride", "padding", "ceil_mode") if key in given}


def _convert_tail(tail: list[nn.Module], side: int, conversion: Conversion) -> Iterator[nn.Module]:
    """Yield the classifier's modules so that they act on every position; the first linear layer sees `side`²."""
    for module in tail:
        if isinstance(module, nn.Linear):
            yield conversion.positionwise(module, side)
            side = 1
        elif isinstance(module, nn.LayerNorm):
            yield conversion.position_norm(module)
        elif not isinstance(module, nn.Flatten) and (
            conversion.keep_activations or not isinstance(module, ACTIVATIONS)
        ):
            yield conversion.counterpart(module)


def _n_outputs(classifier: nn.Sequential) -> int:
    weights = [module.linear.out_channels for module in classifier if isinstance(module, BcosConv2d)]
    return int(weights[-1])
