"""Predictions that several metrics need, made once where whoever runs them has a memory."""

from __future__ import annotations

import hashlib
from collections.abc import Callable

from torch import Tensor

from bcos_eval.contract.types import Predict

Remember = Callable[[str, Callable[[], Tensor]], Tensor]


def memory_of(predict: Predict, reading: str) -> Remember:
    """Return how to look up what a model said under a key, and to compute and keep it if nobody asked before.

    A key says all that the result depends on but the model and the reading; what is remembered must not be changed
    in place. A model without a method `remembered(key, make)` computes everything anew.

    Args:
        predict: The model.
        reading: Separates what is read of the same pictures in different ways.
    """
    remembered: Remember = getattr(predict, "remembered", compute_anew)
    return lambda key, make: remembered(f"{reading}/{key}", make)


def content_key(*parts: object) -> str:
    """Return a digest of tensors (shape, type and values, from any device) and of the text of anything else."""
    digest = hashlib.sha256()
    for part in parts:
        if isinstance(part, Tensor):
            digest.update(f"{tuple(part.shape)}{part.dtype}".encode())
            digest.update(part.detach().cpu().contiguous().numpy().tobytes())
        else:
            digest.update(repr(part).encode())
        digest.update(b"\x1f")
    return digest.hexdigest()


def compute_anew(_key: str, make: Callable[[], Tensor]) -> Tensor:
    """Return what `make` gives."""
    return make()
