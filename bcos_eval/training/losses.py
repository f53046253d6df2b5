"""Training losses."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional as F


def bce_with_off_labels(logits: Tensor, labels: Tensor) -> Tensor:
    """Return binary cross entropy against 1 for the label and 1/C for every other class.

    Args:
        logits: `(B, C)`.
        labels: Class indices `(B,)`.

    Returns:
        Mean over images and classes, a scalar.

    Source: official B-cos v2 code (uniform off-labels); TPAMI 2024, appendix on training.
    """
    num_classes = logits.shape[1]
    targets = F.one_hot(labels, num_classes).to(logits.dtype).clamp(min=1 / num_classes)
    return F.binary_cross_entropy_with_logits(logits, targets)
