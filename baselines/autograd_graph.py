"""The graph that torch records of a forward pass: what it holds, and outputs with the gradient of others."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from torch import Tensor

_NODE = re.compile(r"(?:torch::autograd::)?(\w+?)(?:Backward\d*)?")


def graph_nodes(outputs: Tensor) -> Iterator[Any]:
    """Iterate over the nodes of the graph that made a tensor, each once."""
    waiting = [outputs.grad_fn]
    seen = set()
    while waiting:
        node = waiting.pop()
        if node is None or node in seen:
            continue
        seen.add(node)
        yield node
        waiting.extend(source for source, _ in node.next_functions)


def node_name(node: Any) -> str:  # noqa: ANN401 - torch does not name the types of its nodes
    """Return what torch calls a node, without its ending: `Addmm`, `Convolution`, `AccumulateGrad`."""
    found = _NODE.fullmatch(node.name())
    return found[1] if found else str(node.name())


def has_gradient(x: object) -> bool:
    """Whether something is a tensor that depends on what gradients are taken by."""
    return isinstance(x, Tensor) and x.requires_grad


def with_gradient_of(chord: Tensor, value: Tensor) -> Tensor:
    """Return a value with the gradient of something that is equal but for rounding."""
    return value.detach() + (chord - chord.detach())
