"""Temperature and bias after global pooling."""

from __future__ import annotations

import math

from torch import Tensor, nn


def default_logit_bias(num_classes: int) -> float:
    """Return −ln(C − 1): with no evidence at all, every class starts at probability 1/C.

    Source: official B-cos v2 configuration; TPAMI 2024, section 3.2.3.
    """
    return -math.log(num_classes - 1)


class LogitLayer(nn.Module):
    """Divide by the temperature T, then add the bias b: `y = z / T + b`.

    Args:
        bias: Added to every logit.
        temperature: Positive divisor.

    Raises:
        ValueError: If the temperature is not positive.
    """

    def __init__(self, bias: float = 0.0, temperature: float = 1.0) -> None:
        super().__init__()
        if temperature <= 0:
            raise ValueError(f"the logit temperature must be positive, got {temperature}")
        self.bias = bias
        self.temperature = temperature

    def forward(self, logits: Tensor) -> Tensor:
        """Return scaled and shifted logits of the same shape."""
        return logits / self.temperature + self.bias

    def extra_repr(self) -> str:
        """Show both numbers."""
        return f"bias={self.bias:.4f}, temperature={self.temperature:g}"
