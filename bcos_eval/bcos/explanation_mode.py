"""Explanation mode: the input-dependent factors of a B-cos network held constant."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from torch import nn

from bcos_eval.contract.network_state import exclusive


class DynamicLinear(nn.Module):
    """A module whose output is an input-dependent linear map of its input.

    While `explaining` is set, the forward pass treats the input-dependent factor (`|cos|^(B-1)`, a norm's
    variance, an attention matrix) as a constant, so that the gradient of the output is that linear map.

    Source: Böhle et al., B-cos Alignment (TPAMI 2024), section 3.1, equation 9.
    """

    # A class attribute, so that it exists whichever base class's __init__ runs first.
    explaining: bool = False


@contextmanager
def explanation_mode(model: nn.Module) -> Iterator[None]:
    """Hold the dynamic factors of every B-cos module in `model` constant inside the block.

    The detaching happens in the *forward* pass: a graph built outside the block gives plain input × gradient.
    Every module is put back as it was, after an exception and when blocks are nested too. One thread at a time is
    inside.
    """
    with exclusive(model):
        before = [(module, module.explaining) for module in model.modules() if isinstance(module, DynamicLinear)]
        try:
            for module, _ in before:
                module.explaining = True
            yield
        finally:
            for module, explaining in before:
                module.explaining = explaining
