"""The number format of an explainer's network passes."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext

import torch

FLOAT32, BFLOAT16 = "float32", "bfloat16"
PRECISIONS = (FLOAT32, BFLOAT16)

# Parameters that every explainer has: allowed values and defaults. Its own of the same name come first.
COMMON_CHOICES: Mapping[str, tuple[str, ...]] = {"precision": PRECISIONS}
COMMON_PARAMS: Mapping[str, str] = {"precision": FLOAT32}


def passes_in(precision: str, device: torch.device) -> AbstractContextManager[None]:
    """Run network passes in a number format.

    Args:
        precision: One of `PRECISIONS`. In `bfloat16`, torch's autocast chooses the operations; parameters, inputs
            and attributions stay float32. Three significant digits remain at best; gain and error are measured by
            `bcos-eval bench --suite variants`.
        device: Where the passes run.
    """
    if precision == FLOAT32:
        return nullcontext()
    return torch.autocast(device.type, torch.bfloat16)


@contextmanager
def reference_precision() -> Iterator[None]:
    """Turn TF32 off, which costs GPU results three of their seven digits (protocols.md section 0)."""
    before = (torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32)
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False
    try:
        yield
    finally:
        torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32 = before


_DEFAULT_GUARD = threading.Lock()
# How many blocks are open, and the default that they found: torch's default is one for all threads.
_OPEN: list[torch.dtype] = []


@contextmanager
def float32_by_default() -> Iterator[None]:
    """Make new tensors float32 inside the block, whatever the caller's default is; it is put back afterwards."""
    with _DEFAULT_GUARD:
        _OPEN.append(_OPEN[0] if _OPEN else torch.get_default_dtype())
        if torch.get_default_dtype() != torch.float32:
            torch.set_default_dtype(torch.float32)
    try:
        yield
    finally:
        with _DEFAULT_GUARD:
            before = _OPEN.pop()
            if not _OPEN and torch.get_default_dtype() != before:
                torch.set_default_dtype(before)
