"""Leave a model exactly as it was found, whoever else uses it at the same time."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from bcos_eval.errors import IncompatibleError, InputError

from .network import Network, device_of, name_of

ForwardHook = Callable[[nn.Module, tuple[Tensor, ...], Tensor], Tensor | None]

_LOCKS: WeakKeyDictionary[nn.Module, threading.RLock] = WeakKeyDictionary()
_LOCKS_GUARD = threading.Lock()


@contextmanager
def exclusive(model: Network | nn.Module) -> Iterator[None]:
    """Let one thread at a time change a network; those who share its modules, such as views of it, wait too."""
    with _lock_of(model):
        yield


@contextmanager
def frozen(model: Network) -> Iterator[None]:
    """Put the model into evaluation mode with constant parameters inside the block, which is one thread's alone.

    Constant parameters keep backward passes from computing weight gradients. Modes, `requires_grad` and
    `.grad` are put back afterwards, after an exception too. The caller's `no_grad` and `inference_mode` do not
    reach into the block.

    Raises:
        InputError: If the network was made in inference mode, where no gradient can be taken.
    """
    with exclusive(model), torch.inference_mode(False), torch.enable_grad():
        _refuse_inference_tensors(model)
        with evaluating(model):
            parameters = [(entry, entry.requires_grad, entry.grad) for entry in model.parameters()]
            try:
                for parameter, _, _ in parameters:
                    parameter.requires_grad_(False)
                yield
            finally:
                for parameter, requires_grad, gradient in parameters:
                    parameter.requires_grad_(requires_grad)
                    parameter.grad = gradient


def refusal_on_trial(model: Network, attempt: Callable[[Tensor], object]) -> str | None:
    """Return why an explainer refuses a network, found by trying it on a black image of the network's size.

    Args:
        model: The network.
        attempt: What the explainer does with an encoded image that requires a gradient.

    Returns:
        None if it works, or if the network does not say its size: it shows in the first pass then.
    """
    side = getattr(model, "input_size", None)
    if side is None:
        return None
    try:
        with frozen(model):
            black = model.encode(torch.zeros(1, 3, side, side, device=device_of(model)))
            attempt(black.detach().requires_grad_())
    except IncompatibleError as error:
        return str(error)
    return None


@contextmanager
def evaluating(model: Network | nn.Module) -> Iterator[None]:
    """Put the model into evaluation mode inside the block, and every module back into its own mode afterwards."""
    modes = [(module, module.training) for module in model.modules()]
    try:
        for module, training in modes:
            if training:
                module.eval()
        yield
    finally:
        _restore_modes(modes)


@contextmanager
def forward_hooks(modules: Iterable[nn.Module], hook: ForwardHook) -> Iterator[None]:
    """Run `hook` after the forward pass of every module inside the block, and never afterwards.

    Passes of other threads through the same modules go by unseen.
    """
    mine = threading.get_ident()

    def of_this_thread(module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> Tensor | None:
        return hook(module, inputs, output) if threading.get_ident() == mine else None

    handles: list[RemovableHandle] = []
    try:
        handles.extend(module.register_forward_hook(of_this_thread) for module in modules)
        yield
    finally:
        for handle in handles:
            handle.remove()


def _lock_of(model: Network | nn.Module) -> threading.RLock:
    # The first module that has none inside is the same for a network, for what wraps it and for views of it.
    key = next(module for module in model.modules() if next(module.children(), None) is None)
    with _LOCKS_GUARD:
        if key not in _LOCKS:
            _LOCKS[key] = threading.RLock()
        return _LOCKS[key]


def _refuse_inference_tensors(model: Network) -> None:
    if any(tensor.is_inference() for tensors in (model.parameters(), model.buffers()) for tensor in tensors):
        raise InputError(
            f"the weights of '{name_of(model)}' were made inside torch.inference_mode(), where torch takes no "
            "gradients; make or load the network outside of it."
        )


def _restore_modes(modes: Iterable[tuple[nn.Module, bool]]) -> None:
    # Parents come first: `train` reaches into children, which then get their own mode back.
    for module, training in modes:
        if module.training != training:
            module.train(training)
    # Networks of people's own may have a `train` that does something else.
    for module, training in modes:
        if module.training != training:
            module.training = training


# Attributes of a module in which torch keeps what belongs to it, by name or number.
_TABLES = tuple(key for key, value in nn.Module().__dict__.items() if isinstance(value, dict))


class NetworkState:
    """A network as it is now, to which it can be put back after code that may have changed it.

    Args:
        network: The network; its weights are copied.
    """

    def __init__(self, network: Network) -> None:
        self._modules = [
            (module, {key: _copied(key, value) for key, value in module.__dict__.items()})
            for module in network.modules()
        ]
        tensors = [*network.parameters(), *network.buffers()]
        self._tensors = [(one, one.requires_grad, one.detach().clone()) for one in tensors]

    def restore(self) -> tuple[str, ...]:
        """Put the network back, and return what was changed: modules' attributes and tables, "weights"."""
        changed = {key for module, before in self._modules for key in _put_back(module, before)}
        for tensor, requires_grad, value in self._tensors:
            if tensor.requires_grad != requires_grad:
                changed.add("requires_grad")
                tensor.requires_grad_(requires_grad)
            # Values and not versions: what is written through `.data` raises no version.
            if tensor.shape != value.shape or not torch.equal(tensor, value):
                changed.add("weights")
                tensor.data = value.clone()
        return tuple(sorted(changed))


def _copied(key: str, value: object) -> object:
    return dict(value) if key in _TABLES and isinstance(value, dict) else value


def _put_back(module: nn.Module, before: dict[str, object]) -> Iterator[str]:
    """Give a module its attributes back; yields the names of those that were changed."""
    now = module.__dict__
    for key in [key for key in now if key not in before]:
        del now[key]
        yield key
    for key, value in before.items():
        if key in _TABLES and isinstance(value, dict) and isinstance(table := now.get(key), dict):
            if [*map(id, table.values())] != [*map(id, value.values())] or [*table] != [*value]:
                table.clear()
                table.update(value)
                yield key
        elif key not in now or not _is_same(now[key], value):
            now[key] = value
            yield key


def _is_same(one: object, other: object) -> bool:
    return one is other or (type(one) is type(other) and isinstance(one, (int, float, str)) and one == other)
