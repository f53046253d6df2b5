"""Bare network compute: the passes that a result needs and nothing around them.

The network is the one that our explainers run: its frozen twin, where there is one.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext

import torch
from torch import Tensor, nn

from bcos_eval.bcos import explanation_mode, for_gradients

from .case import Case
from .clock import timed

# Forward passes that are timed where many equal ones are needed; their mean stands for all.
_N_TIMED_PASSES = 4

BareSeconds = Callable[[Case], float]


def explained_gradients(case: Case) -> float:
    """Return the seconds of one forward pass in explanation mode and K input gradients of the frozen twin."""
    return _seconds_of_gradients(*for_gradients(case.network, case.encoded), case.targets, explaining=True)


def twin_gradients(case: Case) -> float:
    """Return the seconds of one forward pass and K input gradients of the frozen twin."""
    return _seconds_of_gradients(*for_gradients(case.network, case.encoded), case.targets)


def plain_gradients(case: Case) -> float:
    """Return the seconds of one forward pass and K input gradients of the network itself."""
    return _seconds_of_gradients(case.network, case.encoded.requires_grad_(), case.targets)


def repeated_gradients(key: str) -> BareSeconds:
    """Return a measure of a forward pass and K input gradients of `key` images, in batches of our size."""

    def measure(case: Case) -> float:
        n_images = case.integer(key)
        length = min(n_images, case.images_per_pass())
        encoded = case.encoded.repeat(length, 1, 1, 1)
        return _seconds_of_gradients(*for_gradients(case.network, encoded), case.targets) * n_images / length

    return measure


def head_gradients(case: Case) -> float:
    """Return the seconds of one forward pass and K gradients of the head."""
    return timed(lambda: _head_gradients(case))[0]


def forward_passes(n_images_of: Callable[[Case], int]) -> BareSeconds:
    """Return a measure of the forward passes of `n_images_of(case)` images, in batches of our size."""

    def measure(case: Case) -> float:
        return seconds_of_passes(case.network, case.encoded, n_images_of(case), case.images_per_pass())

    return measure


def seconds_of_passes(network: Callable[[Tensor], Tensor], encoded: Tensor, n_images: int, batch: int) -> float:
    """Return the seconds of forward passes of `n_images` images, scaled up from a few where there are many.

    Args:
        network: The network.
        encoded: Network input `(1, C, H, W)`, taken for every image.
        n_images: Images to pass.
        batch: Images per pass.
    """
    length = min(batch, n_images)
    pictures = encoded.expand(length, -1, -1, -1).contiguous()
    n_timed = min(_N_TIMED_PASSES, -(-n_images // length))
    with torch.no_grad():
        seconds = [timed(lambda: network(pictures))[0] for _ in range(n_timed)]
    return sum(seconds) / (n_timed * length) * n_images


def images_in_passes(network: nn.Module, work: Callable[[], object]) -> list[int]:
    """Return how many images each forward pass of the network holds while `work` runs."""
    sizes: list[int] = []
    handle = network.register_forward_pre_hook(lambda _module, args: sizes.append(len(args[0])))
    try:
        work()
    finally:
        handle.remove()
    return sizes


def _seconds_of_gradients(network: nn.Module, x: Tensor, targets: Tensor, *, explaining: bool = False) -> float:
    def passes() -> None:
        with explanation_mode(network) if explaining else nullcontext():
            logits = network(x)
        _gradients(logits, x, targets)

    return timed(passes)[0]


def _head_gradients(case: Case) -> None:
    with torch.no_grad():
        features = case.network.features(case.encoded)
    features.requires_grad_()
    _gradients(case.network.head(features.clone()), features, case.targets)


def _gradients(logits: Tensor, x: Tensor, targets: Tensor) -> None:
    chosen = targets[0].tolist()
    for k, target in enumerate(chosen, start=1):
        torch.autograd.grad(logits[:, target].sum(), x, retain_graph=k < len(chosen))
