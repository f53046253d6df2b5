"""A model family: this file, as `bcos_eval/models/pooled.py`, and its import in `models/__init__.py`."""

from __future__ import annotations

from torch import Tensor, nn

from .classifier import Classifier
from .registry import ModelInfo, Variant, register_model


class PooledLinear(Classifier):
    """A linear classifier of the mean colour."""

    def __init__(self, variant: Variant, num_classes: int) -> None:
        super().__init__(is_bcos=False, num_classes=num_classes, input_size=224 if variant == "imagenet" else 64)
        self.classifier = nn.Conv2d(3, num_classes, 1)

    def features(self, encoded: Tensor) -> Tensor:
        """Return class evidence at every position `(B, C, H, W)`."""
        return self.classifier(encoded)

    def head(self, features: Tensor) -> Tensor:
        """Return logits `(B, C)`."""
        return features.mean((2, 3))


register_model(ModelInfo("pooled_linear", "Pooled", False, PooledLinear, "the same network", "an example"))
