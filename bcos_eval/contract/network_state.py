"""Leave a model exactly as it was found."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager

from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from .network import Network

ForwardHook = Callable[[nn.Module, tuple[Tensor, ...], Tensor], Tensor | None]


@contextmanager
def frozen(model: Network) -> Iterator[None]:
    """Put the model into evaluation mode with constant parameters inside the block.

    Constant parameters keep backward passes from computing weight gradients. Modes, `requires_grad` and
    `.grad` are put back afterwards, after an exception too.
    """
    modes = [(module, module.training) for module in model.modules()]
    parameters = [(parameter, parameter.requires_grad, parameter.grad) for parameter in model.parameters()]
    try:
        _evaluation_mode(modes)
        for parameter, _, _ in parameters:
            parameter.requires_grad_(False)
        yield
    finally:
        for parameter, requires_grad, gradient in parameters:
            parameter.requires_grad_(requires_grad)
            parameter.grad = gradient
        _restore_modes(modes)


def _evaluation_mode(modes: Iterable[tuple[nn.Module, bool]]) -> None:
    for module, training in modes:
        if training:
            module.eval()


def _restore_modes(modes: Iterable[tuple[nn.Module, bool]]) -> None:
    # Parents come first: `train` reaches into children, which then get their own mode back.
    for module, training in modes:
        if module.training != training:
            module.train(training)


@contextmanager
def forward_hooks(modules: Iterable[nn.Module], hook: ForwardHook) -> Iterator[None]:
    """Run `hook` after the forward pass of every module inside the block, and never afterwards."""
    handles: list[RemovableHandle] = []
    try:
        handles.extend(module.register_forward_hook(hook) for module in modules)
        yield
    finally:
        for handle in handles:
            handle.remove()
