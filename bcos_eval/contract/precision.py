"""The number format of an explainer's network passes."""

from __future__ import annotations

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
